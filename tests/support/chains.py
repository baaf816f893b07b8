"""Chains of certificates and what libpq and azpg_check should make of them."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509, PKey

from demo_project.localpg import Authority, Chain, azure_chain
from demo_project.localpg.certificates import (
    SERVER_AUTH,
    Key,
    Profile,
    common_name,
    key_pem,
    new_key,
    pem,
    sign,
)
from tests.support.settings import HOST

CLIENT_AUTH = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@dataclass(frozen=True)
class Presented:
    """What a server sends and what the client trusts, as PEM; host: the name that the client expects."""

    sent: str
    key: str
    trusted: str
    host: str = HOST


@dataclass(frozen=True)
class Case:
    """code: what the certificate step should say."""

    name: str
    code: str
    make: Callable[[], Presented]


CASES: list[Case] = []


def case(name: str, code: str) -> Callable[[Callable[[], Presented]], Callable[[], Presented]]:
    def add(make: Callable[[], Presented]) -> Callable[[], Presented]:
        CASES.append(Case(name, f"certificate.{code}", make))
        return make

    return add


def azure(trusted: str | None = None, host: str = HOST, **changes: object) -> Presented:
    chain = azure_chain(HOST, **changes)
    return Presented(chain.server_pem, chain.key_pem, trusted if trusted is not None else chain.root_pem, host)


def named(*names: str, host: str = HOST, subject: str = HOST) -> Presented:
    """A two-level chain whose leaf carries these names."""
    root = Authority.root("Names Root")
    key = new_key()
    leaf = root.issue(subject, key, Profile(names=names, purposes=SERVER_AUTH))
    return Presented(pem(leaf), key_pem(key), root.pem, host)


def sending(chain: Chain, *certificates: x509.Certificate, trusted: str | None = None) -> Presented:
    return Presented(pem(*certificates), chain.key_pem, trusted if trusted is not None else chain.root_pem)


def parts(chain: Chain) -> tuple[x509.Certificate, x509.Certificate, x509.Certificate]:
    return chain.leaf, chain.issuing.certificate, chain.cross_signed.certificate


def below(root: Authority, issuing: Profile, leaf: Profile | None = None, key: Key | None = None) -> Presented:
    """Root, one intermediate of this profile, and a leaf."""
    intermediate = root.issue_ca("Issuing", issuing)
    key = key or new_key()
    certificate = intermediate.issue(HOST, key, leaf or Profile(names=(HOST,), purposes=SERVER_AUTH))
    return Presented(pem(certificate, intermediate.certificate), key_pem(key), root.pem)


def ca_profile(**changes: object) -> Profile:
    return Profile(**{"days": (-1, 900), "ca": True, **changes})  # type: ignore[arg-type]


# What is accepted

case("Azure's shape", "ok")(azure)
case("the file holds unrelated roots too", "ok")(
    lambda: azure_with_extra(Authority.root("Unrelated").pem, Authority.root("Another").pem)
)
case("the file holds an expired root too", "ok")(
    lambda: azure_with_extra(Authority.root("Old", Profile(days=(-900, -30), ca=True)).pem)
)
case("a wildcard for one label", "ok")(lambda: named("*.postgres.database.azure.com"))
case("one of several names", "ok")(lambda: named("a.example.org", "b.example.org", HOST, "c.example.org"))
case("the name in capitals", "ok")(lambda: named(HOST.upper()))
case("no alternative name, but the common name", "ok")(lambda: named(subject=HOST))
case("an address as iPAddress", "ok")(lambda: named("ip:127.0.0.1", host="127.0.0.1"))
case("an address spelled as dNSName", "ok")(lambda: named("127.0.0.1", host="127.0.0.1"))
case("an address as common name beside a dNSName", "ok")(
    lambda: named("a.example.org", host="127.0.0.1", subject="127.0.0.1")
)
case("an internationalised name in its ASCII form", "ok")(
    lambda: named("xn--mnchen-3ya.example.org", host="xn--mnchen-3ya.example.org")
)


def azure_with_extra(*extra: str) -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted="".join([*extra, chain.root_pem]))


@case("trusting the cross-signed authority's own root instead", "ok")
def inner_root_only() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted=chain.inner_root.pem)


@case("trusting both roots of a cross-signed chain", "ok")
def both_roots() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted=chain.root_pem + chain.inner_root.pem)


@case("the server sends the root too", "ok")
def root_sent() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), chain.root.certificate)


@case("the chain out of order", "ok")
def out_of_order() -> Presented:
    chain = azure_chain(HOST)
    leaf, issuing, cross = parts(chain)
    return sending(chain, leaf, cross, issuing)


@case("an unrelated certificate in the chain", "ok")
def unrelated_sent() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), Authority.root("Unrelated").certificate)


@case("names within the authority's constraints", "ok")
def permitted_name() -> Presented:
    return below(Authority.root("Root"), ca_profile(permitted=("azure.com",)))


@case("a self-signed certificate that the file holds", "ok")
def pinned_self_signed() -> Presented:
    key = new_key()
    leaf = sign(HOST, key, common_name(HOST), key, Profile(names=(HOST,), ca=True))
    return Presented(pem(leaf), key_pem(key), pem(leaf))


@case("RSA 2048", "ok")
def rsa_2048() -> Presented:
    return below(Authority.root("Root"), ca_profile(), key=new_key(2048))


# Roots that are not trusted

case("another root", "untrusted_root")(lambda: azure(Authority.root("Other Root").pem))
case("another root of the same name", "untrusted_root")(lambda: azure(Authority.root("Demo Global Root G2").pem))


@case("another root of the same name, without key identifiers", "untrusted_root")
def same_name_without_identifiers() -> Presented:
    plain = ca_profile(key_identifiers=False)
    root, impostor = Authority.root("Root", plain), Authority.root("Root", plain)
    key = new_key()
    leaf = root.issue(HOST, key, Profile(names=(HOST,), key_identifiers=False))
    return Presented(pem(leaf), key_pem(key), impostor.pem)


@case("another root, and the server sends its own", "untrusted_root")
def own_root_sent() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), chain.root.certificate, trusted=Authority.root("Other Root").pem)


@case("only the issuing authority in the file", "untrusted_root")
def issuing_pinned() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted=chain.issuing.pem)


@case("only the cross-signed authority in the file", "untrusted_root")
def cross_pinned() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted=chain.cross_signed.pem)


@case("only the server's own certificate in the file", "untrusted_root")
def leaf_pinned() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted=pem(chain.leaf))


# Chains with something missing


@case("only the server's certificate is sent", "incomplete_chain")
def leaf_only() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, chain.leaf)


@case("the issuing authority is not sent", "incomplete_chain")
def issuing_missing() -> Presented:
    chain = azure_chain(HOST)
    leaf, _, cross = parts(chain)
    return sending(chain, leaf, cross)


@case("a self-signed certificate", "self_signed")
def self_signed() -> Presented:
    key = new_key()
    leaf = sign(HOST, key, common_name(HOST), key, Profile(names=(HOST,)))
    return Presented(pem(leaf), key_pem(key), Authority.root("Root").pem)


# Dates

case("the server's certificate has expired", "expired")(lambda: azure(days=(-90, -1)))
case("the server's certificate is not valid yet", "not_yet_valid")(lambda: azure(days=(1, 90)))
case("the server's certificate ends soon", "expiring")(lambda: azure(days=(-340, 20)))
case("an intermediate has expired", "expired")(lambda: below(Authority.root("Root"), ca_profile(days=(-90, -1))))
case("an intermediate is not valid yet", "not_yet_valid")(
    lambda: below(Authority.root("Root"), ca_profile(days=(1, 90)))
)
case("the root has expired", "expired")(
    lambda: below(Authority.root("Root", Profile(days=(-900, -1), ca=True)), ca_profile())
)

# Names

case("another name", "host_mismatch")(lambda: named("other.postgres.database.azure.com"))
case("a wildcard does not span two labels", "host_mismatch")(lambda: named("*.database.azure.com"))
case("a wildcard is no part of a label", "host_mismatch")(lambda: named("d*.postgres.database.azure.com"))
case("a bare wildcard", "host_mismatch")(lambda: named("*"))
case("the common name does not count beside alternative names", "host_mismatch")(
    lambda: named("other.example.org", subject=HOST)
)
case("an address that the certificate does not carry", "host_mismatch")(lambda: named(HOST, host="127.0.0.1"))
case("a name that only starts alike", "host_mismatch")(lambda: named(f"{HOST}.example.org"))

# Purpose

case("a client's certificate", "wrong_purpose")(lambda: azure(purposes=CLIENT_AUTH))
case("an intermediate for clients only", "wrong_purpose")(
    lambda: below(Authority.root("Root"), ca_profile(purposes=CLIENT_AUTH))
)
case("an intermediate that is no authority", "wrong_purpose")(
    lambda: below(Authority.root("Root"), Profile(days=(-1, 900), ca=False))
)
case("a name outside the authority's constraints", "wrong_purpose")(
    lambda: below(Authority.root("Root"), ca_profile(permitted=("example.org",)))
)


@case("too many intermediates for the authority", "wrong_purpose")
def path_too_long() -> Presented:
    root = Authority.root("Root")
    first = root.issue_ca("First", ca_profile(path_length=0))
    second = first.issue_ca("Second", ca_profile())
    key = new_key()
    leaf = second.issue(HOST, key, Profile(names=(HOST,)))
    return Presented(pem(leaf, second.certificate, first.certificate), key_pem(key), root.pem)


# Strength


@case("RSA 1024 in the server's certificate", "weak")
def weak_leaf() -> Presented:
    return below(Authority.root("Root"), ca_profile(), key=new_key(1024))


@case("RSA 1024 in an intermediate", "weak")
def weak_intermediate() -> Presented:
    root = Authority.root("Root")
    intermediate = root.issue_ca("Issuing", ca_profile(), key=new_key(1024))
    key = new_key()
    leaf = intermediate.issue(HOST, key, Profile(names=(HOST,)))
    return Presented(pem(leaf, intermediate.certificate), key_pem(key), root.pem)


@case("SHA-1 in the server's certificate", "weak")
def weak_signature() -> Presented:
    root = Authority.root("Root", key=new_key(2048))
    key = new_key()
    leaf = X509.from_cryptography(root.issue(HOST, key, Profile(names=(HOST,), purposes=SERVER_AUTH)))
    with warnings.catch_warnings():
        # cryptography refuses to sign with SHA-1; pyOpenSSL does it, and calls that way outdated.
        warnings.simplefilter("ignore", DeprecationWarning)
        leaf.sign(PKey.from_cryptography_key(root.key), "sha1")
    return Presented(pem(leaf.to_cryptography()), key_pem(key), root.pem)


# Names that are written oddly: whatever libpq makes of them, the check makes too. They are in no table of the docs.


def of_names(subject: x509.Name, *entries: tuple[int, bytes], host: str = HOST) -> Presented:
    """A leaf with this subject, whose alternative names are entries of tag (2: dNSName, 7: iPAddress) and content."""
    root, key = Authority.root("Names Root"), new_key()
    now = datetime.datetime.now(datetime.timezone.utc)
    content = b"".join(bytes([0x80 | tag, len(each)]) + each for tag, each in entries)
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes([0x30, 0x81, len(content)]) + content)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(common_name("Names Root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
    )
    leaf = (builder.add_extension(extension, critical=False) if entries else builder).sign(root.key, hashes.SHA256())
    return Presented(pem(leaf), key_pem(key), root.pem, host)


def wide(text: str, kind: str) -> x509.Name:
    """Return a name whose CN is a BMPString or a UniversalString, as old authorities write it."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _type=getattr(_ASN1Type, kind))])


GOOD = (2, HOST.encode())
ODD_NAMES: dict[str, Callable[[], Presented]] = {
    "a NUL in a name before the right one": lambda: of_names(common_name("x"), (2, b"a\0b"), GOOD),
    "a NUL in a name after the right one": lambda: of_names(common_name("x"), GOOD, (2, b"a\0b")),
    "the right name and a NUL": lambda: of_names(common_name("x"), (2, HOST.encode() + b"\0.example.org")),
    "a name that is not UTF-8 before the right one": lambda: of_names(common_name("x"), (2, b"m\xfcller"), GOOD),
    "an address of five bytes beside the right CN": lambda: of_names(common_name(HOST), (7, b"12345")),
    "an address of five bytes before the right name": lambda: of_names(common_name("x"), (7, b"12345"), GOOD),
    "an empty name beside the right CN": lambda: of_names(common_name(HOST), (2, b"")),
    "a CN of two bytes a character": lambda: of_names(wide(HOST, "BMPString")),
    "a CN of four bytes a character": lambda: of_names(wide(HOST, "UniversalString")),
    "a CN of one byte a character": lambda: of_names(wide(HOST, "T61String")),
    "nothing that is a name": lambda: of_names(common_name("")),
    "a short address": lambda: of_names(common_name("x"), (7, bytes([127, 0, 0, 1])), host="127.1"),
    "an address in hexadecimal": lambda: of_names(common_name("x"), (7, bytes([127, 0, 0, 1])), host="0x7f.0.0.1"),
    "a short address, and another": lambda: of_names(common_name("x"), (7, bytes([127, 0, 0, 2])), host="127.1"),
    "a short address as CN": lambda: of_names(common_name("127.1"), (7, bytes([127, 0, 0, 1])), host="127.1"),
    "an address mapped to IPv6": lambda: of_names(
        common_name("x"), (7, bytes(10) + b"\xff\xff\x7f\0\0\1"), host="127.0.0.1"
    ),
}

# The file's own traps


@case("root and issuing authority in the file", "untrusted_root")
def root_and_issuing() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted=chain.root_pem + chain.issuing.pem)


@case("the whole chain in the file", "ok")
def whole_chain_in_file() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, chain.leaf, trusted=pem(*parts(chain), chain.root.certificate))


@case("two authorities of one name, the wrong one first", "ok")
def two_of_one_name() -> Presented:
    chain = azure_chain(HOST)
    return sending(chain, *parts(chain), trusted=Authority.root(chain.root.name).pem + chain.root_pem)


@case("an expired copy of the root before the good one", "ok")
def expired_copy_first() -> Presented:
    key = new_key()
    old = Authority.root("Root", Profile(days=(-900, -1), ca=True), key)
    new = Authority.root("Root", Profile(days=(-10, 900), ca=True), key)
    presented = below(new, ca_profile())
    return Presented(presented.sent, presented.key, old.pem + new.pem)
