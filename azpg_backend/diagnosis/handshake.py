"""Our own TLS handshake, to see what libpq doesn't tell.

libpq and this module both leave the judgement to OpenSSL, with the same file loaded in the same way and no flag set
(``initialize_SSL`` in libpq's fe-secure-openssl.c). libpq stops at the first error; here they are all written down.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags

from azpg_backend.diagnosis import sslrequest
from azpg_backend.diagnosis.bounded import Deadline
from azpg_backend.errors import causes
from azpg_backend.errors.problem import Problem
from azpg_backend.plan import hosts

# A handshake with a long chain takes some 10 KiB; more than this is no handshake.
MAX_HANDSHAKE_BYTES = 256 * 1024
_CHUNK = 16 * 1024

# A ServerHello with this random value is a HelloRetryRequest: it asks for another key share (RFC 8446, 4.1.3).
_HELLO_RETRY_REQUEST = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
# Before it: the heads of the record and of the message, and the protocol version.
_RANDOM = slice(11, 43)

_VERSIONS = {
    "tlsv1": SSL.TLS1_VERSION,
    "tlsv1.1": SSL.TLS1_1_VERSION,
    "tlsv1.2": SSL.TLS1_2_VERSION,
    "tlsv1.3": SSL.TLS1_3_VERSION,
}


_HINTS = {
    "tls.not_offered": "This is not Azure's front end, which always has TLS: check HOST and PORT. Your own server "
    "needs ssl = on (PgBouncer: client_tls_sslmode).",
    "tls.protocol_version": "Remove ssl_max_protocol_version from OPTIONS. If the server is older than TLS 1.2, it is "
    "not Azure's: check HOST and PORT.",
    "tls.handshake_failed": "A device that inspects TLS, or a server with very old ciphers, behaves like this. Let "
    "traffic to the server bypass inspection.",
    "tls.closed": "A firewall that inspects TLS, or a server in the middle of a restart, behaves like this. Try again; "
    "if it stays so, let traffic to the server bypass inspection.",
    "tls.timeout": "Something accepts connections and then stays silent: a proxy or load balancer without a server "
    "behind it, or an overloaded server.",
    "tls.not_postgresql": "Another service answers there: check HOST and PORT (5432, or 6432 for PgBouncer), and "
    "whether a proxy is in between.",
}


class HandshakeFailed(Exception):
    """TLS was not reached.

    code: one of the tls step's.
    message: what happened.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(code, message, hint or _HINTS[code])


@dataclass(frozen=True)
class VerifyError:
    """One of OpenSSL's objections.

    number: X509_V_ERR_* of OpenSSL's x509_vfy.h.
    depth: 0 for the server's own certificate.
    """

    number: int
    depth: int
    certificate: x509.Certificate


@dataclass(frozen=True)
class Handshake:
    """A completed handshake.

    group: the key exchange, or None if the library can't tell.
    retried: the server had no use for the key shares that it was offered and asked for another, which takes a round
        trip.
    chain: the certificates that the server sent, its own first.
    path: those that OpenSSL put together, up to the root if one was found.
    """

    protocol: str
    cipher: str
    group: str | None
    retried: bool
    chain: tuple[x509.Certificate, ...]
    path: tuple[x509.Certificate, ...]
    errors: tuple[VerifyError, ...]


def perform(
    sock: socket.socket, host: str, params: Mapping[str, Any], ca_file: str | None, deadline: Deadline
) -> Handshake:
    """Ask a PostgreSQL server for TLS and shake hands.

    params: libpq keywords.
    ca_file: the roots, or None to trust nothing.
    Raises HandshakeFailed if TLS is not reached.
    """
    direct = params.get("sslnegotiation") == "direct"
    try:
        if not direct:
            _request_tls(sock, deadline)
        return _Client(host, params, ca_file, direct).run(sock, deadline)
    except TimeoutError:
        raise HandshakeFailed("tls.timeout", "the server went silent before TLS was ready") from None
    except ConnectionError as error:
        raise HandshakeFailed("tls.closed", f"the connection was cut before TLS was ready ({error.strerror})") from None
    except OSError as error:
        raise HandshakeFailed("tls.closed", f"the connection broke before TLS was ready ({error})") from None


def _request_tls(sock: socket.socket, deadline: Deadline) -> None:
    sock.settimeout(deadline.left())
    sock.sendall(sslrequest.REQUEST)
    # Exactly one byte: whatever follows an "S" belongs to TLS and must not be taken for part of the answer.
    answer = sock.recv(1)
    if answer == b"S":
        return
    if answer == b"":
        raise HandshakeFailed("tls.closed", "the server closed the connection when it was asked for TLS")
    if answer == b"N":
        raise HandshakeFailed("tls.not_offered", "the server answered that it has no TLS")
    rest = _some_more(sock, deadline)
    if answer == b"E" and (message := sslrequest.error_message(rest)):
        # A server that can't take a connection may say so before TLS, and nothing else is wrong then.
        cause = causes.of_login(message)
        hint = f"That means: {cause.message}. {cause.hint}" if cause else ""
        raise HandshakeFailed("tls.not_offered", f"the server answered with an error before TLS: {message}", hint)
    start = (answer + rest)[:40]
    raise HandshakeFailed("tls.not_postgresql", f"the answer is not PostgreSQL's: it starts with {start!r}")


def _some_more(sock: socket.socket, deadline: Deadline) -> bytes:
    """Read on until a little after the first pause, the end or the limit: it is only for the message."""
    received = b""
    try:
        while len(received) < sslrequest.MAX_ERROR_BYTES:
            sock.settimeout(min(0.3, deadline.left()))
            data = sock.recv(sslrequest.MAX_ERROR_BYTES - len(received))
            if not data:
                break
            received += data
    except OSError:
        pass
    return received


class _Client:
    def __init__(self, host: str, params: Mapping[str, Any], ca_file: str | None, direct: bool) -> None:
        self.errors: list[VerifyError] = []
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(_version(params.get("ssl_min_protocol_version"), SSL.TLS1_2_VERSION))
        context.set_max_proto_version(_version(params.get("ssl_max_protocol_version"), 0))
        context.set_verify(SSL.VERIFY_PEER, self._note)
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        _load_revocations(context, params)
        if direct:
            context.set_alpn_protos([sslrequest.ALPN_PROTOCOL])
        self.connection = SSL.Connection(context, None)
        if host and not hosts.is_ip_address(host) and str(params.get("sslsni", "1")) != "0":
            self.connection.set_tlsext_host_name(host.encode())
        self.connection.set_connect_state()

    def _note(self, _: SSL.Connection, certificate: X509, number: int, depth: int, ok: int) -> bool:
        if not ok:
            self.errors.append(VerifyError(number, depth, certificate.to_cryptography()))
        return True

    def run(self, sock: socket.socket, deadline: Deadline) -> Handshake:
        received, start = 0, b""
        while True:
            try:
                self.connection.do_handshake()
                break
            except SSL.WantReadError:
                self._flush(sock, deadline)
            except SSL.Error as error:
                self._flush_quietly(sock, deadline)
                raise _explained(error, start) from None
            data = sock.recv(_CHUNK)
            received += len(data)
            start = (start + data)[: _RANDOM.stop]
            if not data:
                raise HandshakeFailed("tls.closed", "the server closed the connection during the TLS handshake")
            if received > MAX_HANDSHAKE_BYTES:
                raise HandshakeFailed(
                    "tls.handshake_failed", f"the server sent more than {MAX_HANDSHAKE_BYTES} bytes of handshake"
                )
            self.connection.bio_write(data)
        self._flush(sock, deadline)
        return Handshake(
            protocol=self.connection.get_protocol_version_name(),
            cipher=self.connection.get_cipher_name() or "",
            group=self.connection.get_group_name() if hasattr(self.connection, "get_group_name") else None,
            retried=start[_RANDOM] == _HELLO_RETRY_REQUEST,
            chain=tuple(self.connection.get_peer_cert_chain(as_cryptography=True) or ()),
            path=tuple(self.connection.get_verified_chain(as_cryptography=True) or ()),
            errors=tuple(dict.fromkeys(self.errors)),
        )

    def _flush(self, sock: socket.socket, deadline: Deadline) -> None:
        sock.settimeout(deadline.left())
        try:
            while True:
                sock.sendall(self.connection.bio_read(_CHUNK))
        except SSL.WantReadError:
            pass

    def _flush_quietly(self, sock: socket.socket, deadline: Deadline) -> None:
        """Send the alert, so that the server's log tells why; the failure itself is already known."""
        with contextlib.suppress(OSError):
            self._flush(sock, deadline)


def _version(value: object, default: int) -> int:
    return _VERSIONS.get(str(value).lower(), default)


def _load_revocations(context: SSL.Context, params: Mapping[str, Any]) -> None:
    """Check revocation where libpq would: with sslcrl or sslcrldir, or a root.crl in the home folder."""
    crl, crldir = params.get("sslcrl"), params.get("sslcrldir")
    if not crl and not crldir:
        crl = Path.home() / ".postgresql" / "root.crl"
    store = context.get_cert_store()
    if store is None or not (crldir or (crl and Path(crl).is_file())):
        return
    store.load_locations(str(crl) if crl else None, str(crldir) if crldir else None)
    store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)


def _explained(error: SSL.Error, start: bytes) -> HandshakeFailed:
    """Return what a failure means; start: what the server sent first."""
    # SSL.Error holds OpenSSL's queue: (library, function, reason) for each entry.
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reason = ", ".join(entry[-1] for entry in queue) or "the connection ended without a reason"
    if any(word in reason for word in ("protocol version", "unsupported protocol", "no protocols available")):
        return HandshakeFailed("tls.protocol_version", f"no TLS version in common ({reason})")
    if "wrong version number" in reason or "packet length too long" in reason:
        what = f"the server agreed on TLS and then sent something that is not TLS ({reason}): it starts with {start!r}"
        # Some services greet with an S, which to libpq means yes: SSH, say.
        return HandshakeFailed("tls.handshake_failed", what, _HINTS["tls.not_postgresql"])
    if "unexpected eof" in reason or not queue:
        return HandshakeFailed("tls.closed", f"the server ended the TLS handshake ({reason})")
    return HandshakeFailed("tls.handshake_failed", f"the TLS handshake failed ({reason})")
