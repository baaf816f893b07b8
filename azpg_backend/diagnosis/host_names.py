"""Does a certificate carry a host's name? By libpq's rules, which are not those of browsers.

libpq's ``pgtls_verify_peer_name_matches_certificate_guts`` and ``wildcard_certificate_match`` (release 15 and later):
the subject's common name counts where the certificate has no subject alternative name of the host's kind, a dNSName
may spell an IP address, a wildcard stands for exactly one label, and a host with a trailing dot matches nothing.
"""

from __future__ import annotations

import ipaddress

from cryptography import x509

from azpg_backend.plan import hosts


def sans(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """Return the subject alternative names; an unreadable extension counts as none."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, ValueError):
        return []


def san_texts(certificate: x509.Certificate) -> list[str]:
    return [str(name.value) for name in sans(certificate) if isinstance(name, (x509.DNSName, x509.IPAddress))]


def common_name(name: x509.Name) -> str:
    """Return the first common name, else the whole name in RFC 4514 form."""
    for attribute in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        return attribute.value if isinstance(attribute.value, str) else attribute.value.decode("utf-8", "replace")
    return name.rfc4514_string()


def carries(certificate: x509.Certificate, host: str) -> bool:
    """Whether libpq accepts the certificate for this host under sslmode=verify-full."""
    host_is_ip = hosts.is_ip_address(host)
    common_name_counts = True
    for name in sans(certificate):
        if isinstance(name, x509.DNSName):
            if not host_is_ip:
                common_name_counts = False
            if _matches(name.value, host):
                return True
        elif isinstance(name, x509.IPAddress):
            if host_is_ip:
                common_name_counts = False
            if host_is_ip and _same_address(name, host):
                return True
    if not common_name_counts:
        return False
    attributes = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return bool(attributes) and isinstance(attributes[0].value, str) and _matches(attributes[0].value, host)


def _same_address(name: x509.IPAddress, host: str) -> bool:
    return str(name.value) == str(ipaddress.ip_address(host))


def _matches(pattern: str, host: str) -> bool:
    if "\0" in pattern:
        return False
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
