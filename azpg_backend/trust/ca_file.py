"""A CA file of the user's own: what is in it, what is wrong with it, and how to write one.

Reading is judged as libpq does it, by OpenSSL: text between the certificates, CRLF and a byte order mark are fine; DER
is not. Imports ``cryptography``, so the engine never imports this module.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from azpg_backend.errors.codes import CHECKS
from azpg_backend.errors.problem import Problem, Severity, gravest_first
from azpg_backend.trust import manifest
from azpg_backend.trust.manifest import Root

# The largest system bundle is below 1 MiB.
MAX_BYTES = 8 * 1024 * 1024
EXPIRY_WARNING = datetime.timedelta(days=30)
_BLOCK = re.compile(rb"-----BEGIN (X509 )?CERTIFICATE-----.+?-----END (X509 )?CERTIFICATE-----", re.DOTALL)
_MODE = 0o644


class CaFileError(Exception):
    """A CA file can't be written. The text says which, why, and what to do."""


@dataclass(frozen=True)
class CaFile:
    """A CA file as it was read.

    certificates: those that could be parsed. unusable: why libpq can't load it, or None. data: the bytes, where they
    could be read.
    """

    path: str
    certificates: tuple[x509.Certificate, ...]
    unusable: Problem | None
    data: bytes = field(default=b"", repr=False)

    @property
    def roots(self) -> list[x509.Certificate]:
        return [each for each in self.certificates if each.subject == each.issuer]

    def missing(self, roots: Iterable[Root]) -> list[Root]:
        held = {sha256(each) for each in self.certificates}
        return [root for root in roots if root.sha256 not in held]

    def problems(self, cloud: str | None, now: datetime.datetime | None = None) -> list[Problem]:
        """Return what is wrong, gravest first. cloud: the Azure cloud whose current roots should be there."""
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
            "Run manage.py azpg_check --update-ca to add it, or remove sslrootcert to use the roots in this package.",
        )

    def _ending_roots(self, now: datetime.datetime) -> Iterator[Problem]:
        for each in self.roots:
            known = _known(each)
            # An expired root beside good ones does no harm, and everybody's old bundle has the retired ones.
            if (known and known.status == "retired") or each.not_valid_after_utc - now > EXPIRY_WARNING:
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
    try:
        data = _content(path)
    except FileNotFoundError:
        hint = "Run manage.py azpg_check: it writes the verified Azure roots to exactly this path."
        problem = _problem("azpg.W008", path, f"{path} does not exist", hint, Severity.ERROR)
        return CaFile(path, (), problem)
    except OSError as error:
        hint = "Make it a file that the application's account can read, or remove sslrootcert."
        return CaFile(path, (), _invalid(path, f"{path} can't be read ({error.strerror})", hint))
    certificates = tuple(_parsed(data))
    try:
        SSL.Context(SSL.TLS_CLIENT_METHOD).load_verify_locations(path)
    except SSL.Error:
        return CaFile(path, certificates, _unusable(path, data), data)
    return CaFile(path, certificates, None, data)


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
            yield x509.load_pem_x509_certificate(block[0].replace(b"X509 CERTIFICATE", b"CERTIFICATE"))


def _invalid(path: str, message: str, hint: str) -> Problem:
    return _problem("azpg.E005", path, message, hint, Severity.ERROR)


def _problem(identifier: str, path: str, message: str, hint: str, severity: Severity = Severity.WARNING) -> Problem:
    return Problem(CHECKS[identifier].code, message, hint, severity, identifier, path)


def _unusable(path: str, data: bytes) -> Problem:
    again = "Delete it and run manage.py azpg_check, which writes the verified Azure roots to this path."
    if not data:
        return _invalid(path, f"{path} is empty (an interrupted download?)", again)
    with contextlib.suppress(ValueError):
        certificate = x509.load_der_x509_certificate(data)
        hint = f"libpq reads only PEM. Convert it: openssl x509 -inform DER -in {path} -out {Path(path).stem}.pem"
        return _invalid(path, f"{path} is a DER file ({_name(certificate)!r})", hint)
    if re.search(rb"<(!doctype|html|head|body)", data[:2048], re.IGNORECASE):
        return _invalid(path, f"{path} is an HTML page, not a certificate: a proxy or error page was saved", again)
    if b"-----BEGIN PKCS7-----" in data:
        hint = f"Convert it: openssl pkcs7 -print_certs -in {path} -out roots.pem"
        return _invalid(path, f"{path} is a PKCS#7 container", hint)
    if b"-----BEGIN CERTIFICATE-----" in data:
        return _invalid(path, f"{path} has a damaged or cut certificate in it", again)
    return _invalid(path, f"{path} has no certificate in it", again)


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


# Writing


def write_new(path: str, roots: Iterable[Root]) -> bool:
    """Write the roots to a file that does not exist yet, readable for everybody (mode 0644).

    The file appears whole or not at all, and one that appears meanwhile is left alone: then False is returned.
    Raises CaFileError.
    """
    target = Path(path)
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target, _text(roots).encode("ascii"), _MODE) as temporary:
            return _appear(temporary, target)


def add_roots(path: str, roots: Iterable[Root]) -> list[Root]:
    """Append the roots that an existing file lacks and return them; what is in it stays, byte for byte.

    The file is replaced atomically and keeps its mode; a symbolic link keeps pointing at it. Raises CaFileError, also
    where libpq can't load the file as it is.
    """
    target = Path(os.path.realpath(path))
    with _explained(target):
        current = read(str(target))
        if current.unusable is not None:
            raise CaFileError(f"{current.unusable.message}. {current.unusable.hint}")
        missing = current.missing(roots)
        if missing:
            # From the bytes that were judged, not read again: another process may have added the same meanwhile.
            gap = b"" if current.data.endswith(b"\n") else b"\n"
            data = current.data + gap + b"\n" + _text(missing).encode("ascii")
            with _temporary(target, data, stat.S_IMODE(target.stat().st_mode)) as temporary:
                os.replace(temporary, target)
        return missing


def _text(roots: Iterable[Root]) -> str:
    return "\n".join(manifest.pem(root) for root in roots)


@contextlib.contextmanager
def _temporary(target: Path, data: bytes, mode: int) -> Iterator[Path]:
    """Yield a complete file beside the target, on disk and with its mode; it is gone afterwards in any case."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _appear(temporary: Path, target: Path) -> bool:
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:
        # Some file systems have no hard links. Between the look and the replacement another process can only have
        # written the same roots.
        if target.exists():
            return False
        os.replace(temporary, target)
    return True


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CaFileError(
            f"{target} can't be written ({reason}). Choose a path in a folder that this account may write to, or "
            "remove sslrootcert: the roots in this package need no writing."
        ) from error
