"""Certificates for a lab: a chain of Azure's shape, and everything that can be wrong with one."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Digest = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512
DAY = datetime.timedelta(days=1)
SERVER_AUTH: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,)
# The nine bits of a key usage, as cryptography names them.
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def new_key(rsa_bits: int | None = None, curve: ec.EllipticCurve | None = None) -> Key:
    """Return an EC key, P-256 by default, which takes no time to make, or an RSA key of so many bits.

    Raises ValueError for an RSA key of less than 1024 bits: cryptography makes none.
    """
    if rsa_bits is None:
        return ec.generate_private_key(curve or ec.SECP256R1())
    return rsa.generate_private_key(65537, rsa_bits)


def common_name(text: str) -> x509.Name:
    """Return a name that has only a CN, or nothing at all for ""."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)] if text else [])


def general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """Return dNSNames, and iPAddresses for what is written "ip:127.0.0.1"."""
    return [
        x509.IPAddress(ipaddress.ip_address(name[3:])) if name.startswith("ip:") else x509.DNSName(name)
        for name in names
    ]


def subject_alternative_name(names: Sequence[str | bytes]) -> x509.ExtensionType:
    """Return the extension. Bytes become a dNSName as they are, which cryptography would refuse to make."""
    if not any(isinstance(name, bytes) for name in names):
        return x509.SubjectAlternativeName(general_names([name for name in names if isinstance(name, str)]))
    parts = []
    for name in names:
        if isinstance(name, bytes):
            # Context-specific tag 2: dNSName.
            parts.append(_der(0x82, name))
        else:
            sequence = x509.SubjectAlternativeName(general_names([name])).public_bytes()
            # What follows the sequence's tag and length, which may itself be long.
            parts.append(sequence[2 + (sequence[1] & 0x7F if sequence[1] > 0x7F else 0) :])
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, _der(0x30, b"".join(parts)))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode("ascii") for each in certificates)


def key_pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


@dataclass(frozen=True)
class Profile:
    """How a certificate is made; the defaults are those of a good one.

    days: validity as days from now, first and last; not_before and not_after take the place of either.
    ca: basic constraints, or None to leave the extension out. names: the SAN, as subject_alternative_name takes it.
    usage: key usage, of USAGES; purposes: extended key usage; permitted and excluded: name constraints. What is empty
    is left out. key_identifiers: whether it has its own and its issuer's.
    """

    days: tuple[float, float] = (-1, 90)
    not_before: datetime.datetime | None = None
    not_after: datetime.datetime | None = None
    ca: bool | None = False
    path_length: int | None = None
    digest: Digest = field(default_factory=hashes.SHA256)
    names: Sequence[str | bytes] = ()
    usage: Sequence[str] = ()
    purposes: Sequence[x509.ObjectIdentifier] = ()
    permitted: Sequence[str] = ()
    excluded: Sequence[str] = ()
    key_identifiers: bool = True


ROOT = Profile(days=(-1, 3650), ca=True)
INTERMEDIATE = Profile(days=(-1, 1000), ca=True, purposes=SERVER_AUTH)


def sign(subject: str, key: Key, issuer: x509.Name, issuer_key: Key, profile: Profile) -> x509.Certificate:
    """Make a certificate for a key, signed by another. Raises ValueError where the profile contradicts itself."""
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(profile.not_before or now + profile.days[0] * DAY)
        .not_valid_after(profile.not_after or now + profile.days[1] * DAY)
    )
    if profile.ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(profile.ca, profile.path_length), critical=True)
    if profile.key_identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    if profile.names:
        builder = builder.add_extension(subject_alternative_name(profile.names), critical=False)
    if profile.usage:
        if unknown := set(profile.usage) - set(USAGES):
            raise ValueError(f"There is no key usage {sorted(unknown)}; there are {', '.join(USAGES)}.")
        usage = x509.KeyUsage(**{each: each in profile.usage for each in USAGES})
        builder = builder.add_extension(usage, critical=True)
    if profile.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.purposes), critical=False)
    if profile.permitted or profile.excluded:
        constraints = x509.NameConstraints(_subtrees(profile.permitted), _subtrees(profile.excluded))
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(issuer_key, profile.digest)


def _subtrees(names: Sequence[str]) -> list[x509.GeneralName] | None:
    return [
        x509.IPAddress(ipaddress.ip_network(name[3:])) if name.startswith("ip:") else x509.DNSName(name)
        for name in names
    ] or None


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate and key.

    What makes certificates takes a Profile, or fields of one as keywords, which change the Profile or the default.
    Two roots of one name are two authorities with the same subject and different keys.
    """

    certificate: x509.Certificate
    key: Key

    @classmethod
    def root(cls, name: str, profile: Profile | None = None, key: Key | None = None, **changes: Any) -> Authority:
        key = key or new_key()
        return cls(sign(name, key, common_name(name), key, replace(profile or ROOT, **changes)), key)

    @property
    def name(self) -> str:
        """The CN. Raises IndexError for an authority without one."""
        return str(self.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)

    @property
    def pem(self) -> str:
        return pem(self.certificate)

    def issue(self, subject: str, key: Key, profile: Profile | None = None, **changes: Any) -> x509.Certificate:
        """Certify a key; by default for a TLS server, and for no host name."""
        profile = replace(profile or Profile(purposes=SERVER_AUTH), **changes)
        return sign(subject, key, self.certificate.subject, self.key, profile)

    def issue_ca(self, name: str, profile: Profile | None = None, key: Key | None = None, **changes: Any) -> Authority:
        key = key or new_key()
        return Authority(self.issue(name, key, profile or INTERMEDIATE, **changes), key)

    def cross_sign(self, other: Authority, profile: Profile | None = None, **changes: Any) -> Authority:
        """Return the other authority, same name and key, certified by this one."""
        return self.issue_ca(other.name, profile, other.key, **changes)


@dataclass(frozen=True)
class Chain:
    """Azure's shape: a root, an authority that it cross-signed, an issuing authority, and the server's certificate.

    inner_root: the self-signed certificate of the cross-signed authority, as Microsoft TLS RSA Root G2 has one.
    """

    root: Authority
    inner_root: Authority
    cross_signed: Authority
    issuing: Authority
    leaf: x509.Certificate
    key: Key

    @property
    def server_pem(self) -> str:
        """What an Azure server sends: everything but the root."""
        return pem(self.leaf, self.issuing.certificate, self.cross_signed.certificate)

    @property
    def key_pem(self) -> str:
        return key_pem(self.key)

    @property
    def root_pem(self) -> str:
        return self.root.pem


def azure_chain(
    host: str = "demo.postgres.database.azure.com",
    root: Authority | None = None,
    *,
    key: Key | None = None,
    **changes: Any,
) -> Chain:
    """Make a chain of Azure's shape for one host name. key: the server's. changes: fields of its Profile."""
    root = root or Authority.root("Demo Global Root G2")
    inner_root = Authority.root("Demo TLS RSA Root G2")
    cross_signed = root.cross_sign(inner_root)
    issuing = cross_signed.issue_ca("Demo TLS G2 RSA CA OCSP 02", days=(-1, 900))
    key = key or new_key()
    profile = replace(Profile(names=(host,), purposes=SERVER_AUTH), **changes)
    return Chain(root, inner_root, cross_signed, issuing, issuing.issue(host, key, profile), key)
