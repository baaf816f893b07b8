"""The certificate step accepts exactly where libpq accepts, with the same file."""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from django.db.utils import OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_project.localpg import Authority
from demo_project.localpg.certificates import SERVER_AUTH, Profile, key_pem, new_key, pem
from tests.support import servers
from tests.support.chains import CASES, CLIENT_AUTH, ODD_NAMES, Case, Presented
from tests.support.diagnosis import Check, Scenarios
from tests.support.settings import HOST, NO_RETRY

# The next two are what releases of OpenSSL say of a signature by another key; the last, what libpq can't read.
REFUSED_TLS = (
    "certificate verify failed",
    "does not match host name",
    "provider signature failure",
    "SSL error: EVP lib",
    "name contains embedded null",
    "IP address with invalid length",
    "could not get server's host name",
)


def settings_of(presented: Presented, port: int, root_file: Path) -> dict[str, Any]:
    root_file.write_text(presented.trusted)
    return {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "USER": "app",
        "PASSWORD": "x",
        "HOST": presented.host,
        "PORT": port,
        "OPTIONS": {"hostaddr": "127.0.0.1", "sslrootcert": str(root_file), "azpg": NO_RETRY},
    }


def libpq_says(connect: Any, settings_dict: dict[str, Any]) -> str:
    with pytest.raises(OperationalError) as caught:
        connect(settings_dict).cursor()
    return str(caught.value).partition("\n-> ")[0].partition(" failed: ")[2]


class Compared:
    """Serve a chain, and ask azpg_check and libpq what they make of it."""

    def __init__(self, check: Check, connect: Any) -> None:
        self.check = check
        self.connect = connect

    def __call__(self, presented: Presented, **options: str) -> tuple[str, str]:
        answer = servers.logging_in(servers.error_response("you got through", "28000"))
        server = servers.TLSServer(presented.sent, presented.key, then=answer, ciphers="DEFAULT:@SECLEVEL=0")
        with servers.listening(server) as port, tempfile.TemporaryDirectory() as folder:
            settings_dict = settings_of(presented, port, Path(folder, "root.pem"))
            settings_dict["OPTIONS"].update(options)
            said = libpq_says(self.connect, settings_dict)
            step = self.check(settings_dict, timeout=30)["certificate"]
        trusted = "you got through" in said
        assert trusted or any(words in said for words in REFUSED_TLS), said
        assert (step.status.value in {"pass", "warn"}) is trusted, f"{step.code}: {step.message} / libpq: {said}"
        return step.code, said


@pytest.fixture
def compared(check: Check, connect: Any) -> Compared:
    return Compared(check, connect)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_table(compared: Compared, scenarios: Scenarios, case: Case) -> None:
    code, said = compared(case.make())
    assert code == case.code
    scenarios.add("Certificates", case.name, code, "(accepted)" if "you got through" in said else said)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(compared: Compared, name: str) -> None:
    code, said = compared(ODD_NAMES[name]())
    assert code in {"certificate.ok", "certificate.host_mismatch"}, said


@st.composite
def presented(draw: st.DrawFn) -> Presented:
    """Any chain of up to three intermediates, any part of it sent in any order, and any part of it trusted."""

    def profile(ca: bool, **more: Any) -> Profile:
        days = draw(st.sampled_from([(-10, 900)] * 6 + [(-90, -1), (5, 90)]))
        purposes = draw(st.sampled_from([SERVER_AUTH, SERVER_AUTH, (), CLIENT_AUTH]))
        return Profile(days=days, ca=ca, purposes=purposes, key_identifiers=draw(st.booleans()), **more)

    names = ["One", "Two"]
    root = Authority.root(draw(st.sampled_from(names)), profile(True))
    other = Authority.root(draw(st.sampled_from(names)), profile(True))
    line = [root]
    for _ in range(draw(st.integers(0, 3))):
        length = draw(st.sampled_from([None, None, 0, 1]))
        line.append(line[-1].issue_ca(draw(st.sampled_from([*names, "Three"])), profile(True, path_length=length)))
    key = new_key()
    sans = draw(st.sampled_from([(HOST,), (HOST,), ("*.postgres.database.azure.com",), ("x.example.org",), ()]))
    leaf = line[-1].issue(HOST, key, profile(draw(st.sampled_from([False, False, True])), names=sans))
    every = [authority.certificate for authority in line]
    cross = other.issue_ca(line[-1].name, key=line[-1].key).certificate
    sent = draw(st.lists(st.sampled_from([*every, cross, other.certificate]), max_size=4, unique_by=id))
    trusted: list[x509.Certificate] = draw(
        st.lists(
            st.sampled_from([*every, every[0], other.certificate, cross, leaf]), min_size=1, max_size=3, unique_by=id
        )
    )
    return Presented(pem(leaf, *sent), key_pem(key), pem(*trusted))


@settings(max_examples=int(os.environ.get("AZPG_EXAMPLES", "60")))
@given(chain=presented())
def test_any_chain(compared: Compared, chain: Presented) -> None:
    compared(chain)


@pytest.mark.parametrize("where", ["sslcrl", "home"])
def test_revocation_lists(compared: Compared, tmp_path: Path, where: str) -> None:
    """libpq checks revocation with sslcrl, and with a root.crl in the home folder although nobody asked it to."""
    root = Authority.root("Root")
    key = new_key()
    leaf = root.issue(HOST, key, Profile(names=(HOST,)))
    chain = Presented(pem(leaf), key_pem(key), root.pem)
    path = tmp_path / "list.crl" if where == "sslcrl" else Path(os.environ["HOME"], ".postgresql", "root.crl")
    path.parent.mkdir(exist_ok=True)
    options = {"sslcrl": str(path)} if where == "sslcrl" else {}
    for revoked, code in (
        (leaf.serial_number + 1, "certificate.ok"),
        (leaf.serial_number, "certificate.untrusted_root"),
    ):
        path.write_text(revocation_list(root, revoked))
        assert compared(chain, **options)[0] == code


def revocation_list(authority: Authority, serial: int) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    builder = x509.CertificateRevocationListBuilder(
        authority.certificate.subject, now, now + datetime.timedelta(days=9)
    )
    signed = builder.add_revoked_certificate(entry).sign(authority.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()
