"""Certificates for a lab: a chain of Azure's shape, and everything that can be wrong with one."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = datetime.timedelta(days=1)
SERVER_AUTH: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,)


def new_key(rsa_bits: int | None = None) -> Key:
    """Return an EC P-256 key, which takes no time to make, or an RSA key of so many bits."""
    if rsa_bits is None:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, rsa_bits)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """Return dNSNames, and iPAddresses for what is written "ip:127.0.0.1"."""
    return [
        x509.IPAddress(ipaddress.ip_address(name[3:])) if name.startswith("ip:") else x509.DNSName(name)
        for name in names
    ]


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode("ascii") for each in certificates)


def key_pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


@dataclass(frozen=True)
class Profile:
    """How a certificate is made; the defaults are those of a good one.

    days: validity as days from now, first and last. ca: basic constraints, or None to leave the extension out.
    """

    days: tuple[float, float] = (-1, 90)
    ca: bool | None = False
    path_length: int | None = None
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 = field(default_factory=hashes.SHA256)
    names: Sequence[str] = ()
    purposes: Sequence[x509.ObjectIdentifier] = ()
    permitted: Sequence[str] = ()
    key_identifiers: bool = True


def sign(
    subject: str,
    key: Key,
    issuer: x509.Name,
    issuer_key: Key,
    profile: Profile,
    issuer_id: x509.Certificate | None = None,
) -> x509.Certificate:
    """Make a certificate for a key, signed by another. issuer_id: the issuer's certificate, or None for itself."""
    now = datetime.datetime.now(datetime.timezone.utc)
    first, last = (now + each * DAY for each in profile.days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
    )
    if profile.ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(profile.ca, profile.path_length), critical=True)
    if profile.key_identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    if profile.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names(profile.names)), critical=False)
    if profile.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.purposes), critical=False)
    if profile.permitted:
        constraints = x509.NameConstraints([x509.DNSName(name) for name in profile.permitted], None)
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(issuer_key, profile.digest)


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate and key."""

    certificate: x509.Certificate
    key: Key

    @classmethod
    def root(cls, name: str, profile: Profile | None = None, key: Key | None = None) -> Authority:
        key = key or new_key()
        certificate = sign(name, key, common_name(name), key, profile or Profile(days=(-1, 3650), ca=True))
        return cls(certificate, key)

    @property
    def name(self) -> str:
        return str(self.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)

    @property
    def pem(self) -> str:
        return pem(self.certificate)

    def issue(self, subject: str, key: Key, profile: Profile) -> x509.Certificate:
        return sign(subject, key, self.certificate.subject, self.key, profile, self.certificate)

    def issue_ca(self, name: str, profile: Profile | None = None, key: Key | None = None) -> Authority:
        key = key or new_key()
        profile = profile or Profile(days=(-1, 1000), ca=True, purposes=SERVER_AUTH)
        return Authority(self.issue(name, key, profile), key)

    def cross_sign(self, other: Authority) -> Authority:
        """Return the other authority, same name and key, certified by this one."""
        return self.issue_ca(other.name, key=other.key)


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


def azure_chain(host: str, root: Authority | None = None, **changes: object) -> Chain:
    """Make a chain of Azure's shape for one host name. changes: fields of the leaf's Profile."""
    root = root or Authority.root("Demo Global Root G2")
    inner_root = Authority.root("Demo TLS RSA Root G2")
    cross_signed = root.cross_sign(inner_root)
    issuing = cross_signed.issue_ca(
        "Demo TLS G2 RSA CA OCSP 02", Profile(days=(-1, 900), ca=True, purposes=SERVER_AUTH)
    )
    key = new_key()
    profile = Profile(**{"names": (host,), "purposes": SERVER_AUTH, **changes})  # type: ignore[arg-type]
    return Chain(root, inner_root, cross_signed, issuing, issuing.issue(host, key, profile), key)
