"""Does a certificate carry a host's name? By libpq's rules, which are not those of browsers.

libpq's ``pgtls_verify_peer_name_matches_certificate_guts`` and ``wildcard_certificate_match`` (release 15 and later):
the subject's common name counts where the certificate has no subject alternative name of the host's kind, a dNSName
may spell an IP address, a wildcard stands for exactly one label, and a host with a trailing dot matches nothing. An
address is what inet_aton takes for one (127.1), and a name with a NUL in it refuses the whole certificate.
"""

from __future__ import annotations

import contextlib
import socket

from cryptography import x509

from azpg_backend.plan import hosts


def sans(certificate: x509.Certificate) -> list[x509.GeneralName] | None:
    """Return the subject alternative names; None if the extension can't be read, which libpq may manage to."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
    except ValueError:
        return None


def san_texts(certificate: x509.Certificate) -> list[str]:
    return [str(name.value) for name in sans(certificate) or () if isinstance(name, (x509.DNSName, x509.IPAddress))]


def common_name(name: x509.Name) -> str:
    """Return the first common name, else the whole name in RFC 4514 form."""
    for attribute in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        return attribute.value if isinstance(attribute.value, str) else attribute.value.decode("utf-8", "replace")
    return name.rfc4514_string()


def carries(certificate: x509.Certificate, host: str) -> bool:
    """Whether libpq accepts the certificate for this host under sslmode=verify-full; False if only libpq can tell."""
    host_is_ip = _is_address(host)
    common_name_counts = True
    names = sans(certificate)
    if names is None:
        return False
    for name in names:
        if isinstance(name, x509.DNSName):
            if "\0" in name.value:
                return False
            if not host_is_ip:
                common_name_counts = False
            if _matches(name.value, host):
                return True
        elif isinstance(name, x509.IPAddress) and host_is_ip:
            common_name_counts = False
            if _same_address(name, host):
                return True
    return common_name_counts and _is_common_name(certificate.subject, host)


def _is_common_name(subject: x509.Name, host: str) -> bool:
    value = next((each.value for each in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)), b"")
    if not isinstance(value, str) or not _matches(value, host):
        return False
    # libpq compares bytes, and finds a NUL in those of a BMPString or a UniversalString.
    return not any(value.encode(wide) in subject.public_bytes() for wide in ("utf-16-be", "utf-32-be"))


def _is_address(host: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return bool(socket.inet_aton(host))
    return hosts.is_ip_address(host)


def _same_address(name: x509.IPAddress, host: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        found = socket.inet_aton(host) if name.value.version == 4 else socket.inet_pton(socket.AF_INET6, host)
        return found == name.value.packed  # type: ignore[union-attr]  # no network, which is for constraints
    return False


def _matches(pattern: str, host: str) -> bool:
    pattern, host = _folded(pattern), _folded(host)
    if pattern == host:
        return True
    if len(pattern) < 3 or not pattern.startswith("*.") or not host.endswith(pattern[1:]):
        return False
    label = host[: -len(pattern) + 1]
    return bool(label) and "." not in label


def _folded(text: str) -> str:
    """Lower-case A to Z only, as pg_strcasecmp does in the C locale."""
    return "".join(each.lower() if each.isascii() else each for each in text)
