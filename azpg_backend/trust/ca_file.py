"""A CA file of the user's own: read, judged, written.

Reading is judged as libpq does it, by OpenSSL: text between the certificates, CRLF and a byte order mark are fine; DER
is not. Imports ``cryptography``, so the engine never imports this module.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import datetime
import functools
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from azpg_backend.errors.codes import CHECKS
from azpg_backend.errors.problem import Problem, Severity, gravest_first
from azpg_backend.trust import lifetime, manifest
from azpg_backend.trust.manifest import Root

# The identifier of PKCS#7's SignedData in DER (RFC 2315, 14).
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
# The largest system bundle is below 1 MiB.
MAX_BYTES = 8 * 1024 * 1024
# The three labels that OpenSSL takes for a certificate in a file of roots.
_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>(?:X509 |TRUSTED )?CERTIFICATE)-----(?P<body>.+?)-----END (?P=label)-----", re.DOTALL
)


@dataclass(frozen=True)
class CaFile:
    """A CA file as it was read.

    certificates: those that could be parsed.
    unusable: why libpq can't load it, or None.
    data: the bytes, if they could be read.
    """

    path: str
    certificates: tuple[x509.Certificate, ...]
    unusable: Problem | None
    data: bytes = field(default=b"", repr=False)

    @functools.cached_property
    def roots(self) -> list[x509.Certificate]:
        return [each for each in self.certificates if each.subject == each.issuer]

    def missing(self, roots: Iterable[Root]) -> list[Root]:
        held = {sha256(each) for each in self.certificates}
        return [root for root in roots if root.sha256 not in held]

    def problems(self, cloud: str | None, now: datetime.datetime | None = None) -> list[Problem]:
        """Return what is wrong, gravest first.

        cloud: the Azure cloud whose current roots should be there.
        """
        if self.unusable is not None:
            return [self.unusable]
        found = [*self._not_roots(), *self._missing_roots(cloud)]
        found += self._ending_roots(now or datetime.datetime.now(datetime.timezone.utc))
        return gravest_first(found)

    def _not_roots(self) -> Iterator[Problem]:
        for each in self.certificates:
            if each.subject == each.issuer:
                continue
            fatal = not self.roots
            consequence = "and no root: libpq refuses every server with it" if fatal else "as well as roots"
            yield _problem(
                "azpg.W010",
                self.path,
                f"{self.path} holds {_name(each)!r}, which is not a root (issued by {_issuer(each)!r}), {consequence}",
                "Azure replaces its intermediate and server certificates without notice, so only roots may be pinned: "
                "delete it from the file, or remove sslrootcert to use the roots in this package.",
                Severity.ERROR if fatal else Severity.WARNING,
            )

    def _missing_roots(self, cloud: str | None) -> Iterator[Problem]:
        missing = self.missing(manifest.current(cloud))
        if not missing:
            return
        names = " and ".join(f"{root.name} ({root.used})" for root in missing)
        retired = [root for root in map(_known, self.certificates) if root is not None and root.status == "retired"]
        has = "".join(f"; it does hold {root.name}, {root.used}" for root in retired)
        yield _problem(
            "azpg.W009",
            self.path,
            f"{self.path} lacks {names}{has}",
            f"Run manage.py azpg_check --update-ca to add {'it' if len(missing) == 1 else 'them'}, or remove "
            "sslrootcert to use the roots in this package.",
        )

    def _ending_roots(self, now: datetime.datetime) -> Iterator[Problem]:
        for each in self.roots:
            known = _known(each)
            # An expired root beside good ones does no harm, and everybody's old bundle has the retired ones.
            if (known and known.status == "retired") or not lifetime.ends_soon(each, now):
                continue
            verb = "ended" if each.not_valid_after_utc < now else "ends"
            yield _problem(
                "azpg.W011",
                self.path,
                f"{_name(each)!r} in {self.path} {verb} on {each.not_valid_after_utc:%Y-%m-%d}",
                "Replace it with its successor before that day.",
            )


def read(path: str) -> CaFile:
    """Read and judge a CA file; never raises for what is in it or whether it is there."""
    if _is_text(path):
        hint = "Write the text into a file, and the file's path into sslrootcert."
        message = "sslrootcert holds the text of a certificate instead of a file's path"
        return CaFile(shown(path), (), _invalid(shown(path), message, hint))
    try:
        data = _content(path)
    except FileNotFoundError:
        hint = "Run manage.py azpg_check: it writes the verified Azure roots to exactly this path."
        message = f"{path} does not exist"
        if os.path.islink(path):
            message = f"{path} is a link to {os.readlink(path)}, which does not exist"
            hint = "Correct or remove the link: azpg_check writes no file through it."
        problem = _problem("azpg.W008", path, message, hint, Severity.ERROR)
        return CaFile(path, (), problem)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "Name a PEM file that the application's account can read, or remove sslrootcert."
        return CaFile(path, (), _invalid(path, f"{path} can't be read ({reason})", hint))
    certificates = tuple(_parsed(data))
    try:
        SSL.Context(SSL.TLS_CLIENT_METHOD).load_verify_locations(path)
    except SSL.Error:
        return CaFile(path, certificates, _unusable(path, data), data)
    return CaFile(path, certificates, None, data)


def shown(path: str) -> str:
    """Return what may be shown of a path: all of it, unless it is a certificate's text."""
    return "(a certificate's text)" if _is_text(path) else path


def _is_text(path: str) -> bool:
    return "-----BEGIN" in path


def _content(path: str) -> bytes:
    # Opened without waiting: a named pipe would otherwise block until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            kind = "a directory" if os.path.isdir(path) else "not a regular file"
            raise OSError(None, kind)
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(None, f"more than {MAX_BYTES} bytes")
    return data


def _parsed(data: bytes) -> Iterator[x509.Certificate]:
    for block in _BLOCK.finditer(data):
        with contextlib.suppress(ValueError):
            yield x509.load_der_x509_certificate(_first_element(base64.b64decode(block["body"])))


def _first_element(der: bytes) -> bytes:
    """Return the certificate without what a TRUSTED CERTIFICATE has behind it (DER: tag, length, content)."""
    if len(der) < 2 or der[1] < 0x80:
        return der
    count = der[1] & 0x7F
    return der[: 2 + count + int.from_bytes(der[2 : 2 + count], "big")]


def _invalid(path: str, message: str, hint: str) -> Problem:
    return _problem("azpg.E005", path, message, hint, Severity.ERROR)


def _problem(identifier: str, path: str, message: str, hint: str, severity: Severity = Severity.WARNING) -> Problem:
    return Problem(CHECKS[identifier].code, message, hint, severity, identifier, path)


_AGAIN = "Delete it and run manage.py azpg_check, which writes the verified Azure roots to this path."
_OTHER_FILE = "Name a PEM file of roots in sslrootcert, or remove sslrootcert to use the roots in this package."


def _unusable(path: str, data: bytes) -> Problem:
    if not data:
        return _invalid(path, f"{path} is empty (an interrupted download?)", _AGAIN)
    if found := _other_format(data, shlex.quote(path)):
        return _invalid(path, f"{path} {found[0]}", found[1])
    if re.search(rb"<(!doctype|html|head|body)", data[:2048], re.IGNORECASE):
        return _invalid(path, f"{path} is an HTML page, not a certificate: a proxy or error page was saved", _AGAIN)
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"B\0E\0G\0I\0N\0" in data:
        hint = (
            f"libpq reads only ASCII or UTF-8; in PowerShell write the file with Set-Content -Encoding ascii. {_AGAIN}"
        )
        return _invalid(path, f"{path} is UTF-16 text, as PowerShell's > writes it", hint)
    if re.search(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----\\[rn]", data):
        hint = "Where the file is made, turn them into line breaks (in a shell: printf '%b'); or remove sslrootcert."
        return _invalid(path, f"{path} has its line breaks written out as \\n", hint)
    if re.search(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----", data):
        return _invalid(path, f"{path} has a damaged or cut certificate in it", _AGAIN)
    if re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----", data):
        return _invalid(path, f"{path} holds a private key and no certificate: it is another file", _OTHER_FILE)
    # It may be anything, so nobody is told to delete it.
    return _invalid(path, f"{path} has no certificate in it", _OTHER_FILE)


def _other_format(data: bytes, path: str) -> tuple[str, str] | None:
    """Return what holds certificates in a form that libpq can't read, with the command that converts it."""
    with contextlib.suppress(ValueError):
        certificate = x509.load_der_x509_certificate(data)
        hint = f"libpq reads only PEM. Convert it: openssl x509 -inform DER -in {path} -out roots.pem"
        return f"is a DER file ({_name(certificate)!r})", hint
    if b"-----BEGIN PKCS7-----" in data:
        return "is a PKCS#7 container", f"Convert it: openssl pkcs7 -print_certs -in {path} -out roots.pem"
    if _SIGNED_DATA in data[:32]:
        return "is a PKCS#7 container", f"Convert it: openssl pkcs7 -inform DER -print_certs -in {path} -out roots.pem"
    if re.fullmatch(rb"\s*MII[\w+/=\s]{80,}", data):
        hint = f"Convert it: openssl enc -d -base64 -A -in {path} | openssl x509 -inform DER -out roots.pem"
        return "is base64 without the lines BEGIN CERTIFICATE and END CERTIFICATE", hint
    return None


@functools.lru_cache(maxsize=1024)
def sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _known(certificate: x509.Certificate) -> Root | None:
    return manifest.by_sha256(sha256(certificate))


def _name(certificate: x509.Certificate) -> str:
    return _common_name(certificate.subject)


def _issuer(certificate: x509.Certificate) -> str:
    return _common_name(certificate.issuer)


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()
