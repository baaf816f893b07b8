"""The lab's certificates, judged by a TLS handshake: first the good chain, then one thing wrong with each."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from demo_project.localpg import Authority, Chain, azure_chain
from demo_project.localpg.certificates import Key, key_pem, new_key, pem, subject_alternative_name
from tests.support.settings import HOST

Presented = tuple[str, str, str]
CLIENT_AUTH = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def verify(presented: Presented, folder: Path, host: str = HOST) -> None:
    """Shake hands in memory. Raises ssl.SSLCertVerificationError where the client refuses the server."""
    chain, key, trusted = presented
    (folder / "server.pem").write_text(chain)
    (folder / "server.key").write_text(key)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # What is under test is how the client sees it, so the server may show even a weak one.
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    client.hostname_checks_common_name = False
    client.load_verify_locations(cadata=trusted)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass


def azure(**changes: object) -> Presented:
    chain = azure_chain(HOST, **changes)  # type: ignore[arg-type]
    return chain.server_pem, chain.key_pem, chain.root_pem


def below(root: Authority, key: Key | None = None, **intermediate: object) -> Presented:
    issuing = root.issue_ca("Issuing", **intermediate)  # type: ignore[arg-type]
    key = key or new_key()
    return pem(issuing.issue(HOST, key, names=(HOST,)), issuing.certificate), key_pem(key), root.pem


def test_the_good_chain(chain: Chain, tmp_path: Path) -> None:
    verify((chain.server_pem, chain.key_pem, chain.root_pem), tmp_path)


def test_it_has_azure_s_shape(chain: Chain) -> None:
    sent = x509.load_pem_x509_certificates(chain.server_pem.encode())
    assert sent == [chain.leaf, chain.issuing.certificate, chain.cross_signed.certificate]
    assert [each.issuer for each in sent] == [each.subject for each in [*sent[1:], chain.root.certificate]]
    inner, crossed = chain.inner_root.certificate, chain.cross_signed.certificate
    assert inner.issuer == inner.subject == crossed.subject != crossed.issuer
    assert inner.public_key() == crossed.public_key()
    assert chain.root.name == "Demo Global Root G2"
    assert chain.cross_signed.name == "Demo TLS RSA Root G2"
    assert chain.issuing.name == "Demo TLS G2 RSA CA OCSP 02"


def test_the_inner_root_is_a_root_too(chain: Chain, tmp_path: Path) -> None:
    verify((chain.server_pem, chain.key_pem, chain.inner_root.pem), tmp_path)


GOOD: dict[str, Callable[[], Presented]] = {
    "RSA": lambda: azure(key=new_key(2048)),
    "P-384": lambda: azure(key=new_key(curve=ec.SECP384R1())),
    "SHA-512": lambda: azure(digest=hashes.SHA512()),
    "a wildcard": lambda: azure(names=("*.postgres.database.azure.com",)),
    "a name among others, one of them no text": lambda: azure(names=(b"\xff\xfe", HOST, "ip:10.0.0.4")),
    "a name beside a long one": lambda: azure(names=(b"x" * 300, "a" * 60 + ".b" * 90, HOST)),
    "no key identifiers": lambda: azure(key_identifiers=False),
    "no purposes": lambda: azure(purposes=()),
    "no basic constraints": lambda: azure(ca=None),
    "a key usage that fits": lambda: azure(usage=("digital_signature",)),
    "a name that is permitted": lambda: below(Authority.root("Root"), permitted=("azure.com",)),
    "a path length that suffices": lambda: below(Authority.root("Root"), path_length=0),
}
BAD: dict[str, tuple[Callable[[], Presented], str]] = {
    "expired": (lambda: azure(days=(-90, -1)), "certificate has expired"),
    "not yet valid": (lambda: azure(days=(1, 90)), "not yet valid"),
    "expired at a moment": (
        lambda: azure(not_after=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), days=(-900, 1)),
        "certificate has expired",
    ),
    "another name": (lambda: azure(names=("other.postgres.database.azure.com",)), "Hostname mismatch"),
    "no name at all": (lambda: azure(names=()), "Hostname mismatch"),
    "a name that only begins so": (lambda: azure(names=(HOST.encode() + b"\0.example.org",)), "Hostname mismatch"),
    "a wildcard a level too high": (lambda: azure(names=("*.database.azure.com",)), "Hostname mismatch"),
    "a client's purpose": (lambda: azure(purposes=CLIENT_AUTH), "unsuitable certificate purpose"),
    "a weak key": (lambda: azure(key=new_key(1024)), "key too (weak|small)"),
    "an expired intermediate": (lambda: below(Authority.root("Root"), days=(-90, -1)), "certificate has expired"),
    "an intermediate that is no authority": (lambda: below(Authority.root("Root"), ca=False), "invalid CA certificate"),
    "an intermediate that may not sign": (
        lambda: below(Authority.root("Root"), usage=("digital_signature",)),
        "invalid CA certificate|not include certificate signing",
    ),
    "a name that is not permitted": (
        lambda: below(Authority.root("Root"), permitted=("example.org",)),
        "permitted subtree violation",
    ),
    "a name that is excluded": (
        lambda: below(Authority.root("Root"), excluded=("azure.com",)),
        "excluded subtree violation",
    ),
    "a path too long": (
        lambda: below(Authority.root("Root", path_length=0).issue_ca("Between")),
        "unable to get local issuer certificate|unable to get issuer certificate",
    ),
    "another root": (lambda: (*azure()[:2], Authority.root("Other").pem), "unable to get local issuer certificate"),
    "another root of the same name": (
        lambda: (*azure()[:2], Authority.root("Demo Global Root G2").pem),
        "unable to get local issuer certificate|self.signed certificate|signature failure",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_in_another_way(name: str, tmp_path: Path) -> None:
    verify(GOOD[name](), tmp_path)


@pytest.mark.parametrize("name", BAD)
def test_one_thing_wrong(name: str, tmp_path: Path) -> None:
    make, reason = BAD[name]
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        verify(make(), tmp_path)


def test_a_path_length_counts_the_authorities_below(tmp_path: Path) -> None:
    def through(path_length: int) -> Presented:
        root = Authority.root("Root", path_length=path_length)
        between = root.issue_ca("Between")
        issuing = between.issue_ca("Issuing")
        key = new_key()
        leaf = issuing.issue(HOST, key, names=(HOST,))
        return pem(leaf, issuing.certificate, between.certificate), key_pem(key), root.pem

    verify(through(2), tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="path length constraint exceeded"):
        verify(through(1), tmp_path)


def test_an_international_name(tmp_path: Path) -> None:
    name = "xn--mller-kva.postgres.database.azure.com"
    verify(azure(names=(name,)), tmp_path, name)


def test_an_address(tmp_path: Path) -> None:
    verify(azure(names=("ip:127.0.0.1",)), tmp_path, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        verify(azure(names=("127.0.0.1",)), tmp_path, "127.0.0.1")


def test_names_beside_bytes_are_those_without(chain: Chain) -> None:
    names = (HOST, "ip:::1", "a" * 60 + ".b" * 90)
    plain = subject_alternative_name(names).public_bytes()
    with_bytes = subject_alternative_name([*names, b"\xff"]).public_bytes()
    assert with_bytes.endswith(b"\x82\x01\xff")
    assert plain[4:] == with_bytes[4:-3]


def test_absent_is_absent() -> None:
    root = Authority.root("Root", ca=None, key_identifiers=False)
    assert list(root.certificate.extensions) == []
    leaf = root.issue("", new_key(), purposes=(), ca=None, key_identifiers=False)
    assert list(leaf.subject) == []


def test_a_key_usage_has_the_bits_it_names() -> None:
    root = Authority.root("Root", usage=("key_cert_sign", "crl_sign"))
    usage = root.certificate.extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).value
    assert isinstance(usage, x509.KeyUsage)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    with pytest.raises(ValueError, match="no key usage.*signing"):
        Authority.root("Root", usage=("signing",))


def test_keys() -> None:
    key = new_key(1024)
    assert isinstance(key, rsa.RSAPrivateKey) and key.key_size == 1024
    with pytest.raises(ValueError):
        new_key(512)
