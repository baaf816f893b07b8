"""Each step's codes, from real causes: first the good case, then the same with one thing wrong."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError

from azpg_backend import trust
from azpg_backend.diagnosis.report import STEPS, Status
from azpg_backend.diagnosis.steps import tcp
from azpg_backend.plan import hosts
from azpg_backend.plan.decision import decide
from demo_project.localpg import Authority, Chain, LocalPostgres, azure_chain
from demo_project.localpg.certificates import SERVER_AUTH, Profile, key_pem, new_key, pem
from tests.support import servers
from tests.support.cases import LOGIN_TEXTS, TLS_CASES
from tests.support.diagnosis import Check, Scenarios, codes
from tests.support.settings import HOST, SettingsFor

AtPort = Callable[..., dict[str, Any]]


def test_the_good_case(server: LocalPostgres, settings_for: SettingsFor, check: Check, root_file: str) -> None:
    steps = check(settings_for(server))
    assert list(steps) == list(STEPS)
    assert {name: step.code for name, step in steps.items()} == {
        "settings": "settings.ok",
        "ca": "ca.root_missing",
        "dns": "dns.ok",
        "tcp": "tcp.ok",
        "tls": "tls.ok",
        "certificate": "certificate.ok",
        "login": "login.ok",
        "session": "session.ok",
    }
    assert steps["ca"].detail["source"] == "file"
    assert steps["ca"].detail["file"] == root_file
    assert steps["ca"].detail["roots"][0]["name"] == "Demo Global Root G2"
    assert steps["dns"].detail["addresses"] == ["127.0.0.1"]
    assert steps["tls"].detail["protocol"] == "TLSv1.3"
    assert steps["tls"].detail["cipher"] == "TLS_AES_256_GCM_SHA384"
    chain = steps["certificate"].detail["chain"]
    assert [row["subject"] for row in chain] == [
        f"CN={HOST}",
        "CN=Demo TLS G2 RSA CA OCSP 02",
        "CN=Demo TLS RSA Root G2",
    ]
    assert chain[0]["sans"] == [HOST]
    assert steps["certificate"].detail["root"] == "Demo Global Root G2"
    assert steps["login"].detail == {"user": "app", "method": "password"}
    session = steps["session"].detail
    assert (session["tls"], session["protocol"], session["read_only"], session["current_user"]) == (
        True,
        "TLSv1.3",
        False,
        "app",
    )


# settings


@pytest.mark.parametrize(
    ("options", "changes", "code"),
    [
        ({"sslmode": "disable"}, {}, "settings.weak_tls"),
        ({"sslmode": "verify-all"}, {}, "settings.invalid"),
        ({}, {"HOST": ""}, "settings.missing_host"),
    ],
)
def test_settings_that_the_engine_refuses(
    server: LocalPostgres,
    settings_for: SettingsFor,
    check: Check,
    options: dict[str, Any],
    changes: dict[str, Any],
    code: str,
) -> None:
    steps = check(settings_for(server, options, **changes))
    assert steps["settings"].code == code
    assert steps["settings"].status is Status.FAIL
    assert steps["login"].status is Status.SKIP
    # The rest is looked at all the same, with the safe defaults.
    assert steps["tcp"].status is Status.PASS


def test_settings_that_only_warn(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    steps = check(settings_for(server, {"sslmode": "verify-ca"}))
    assert codes(steps) == ["settings.verify_ca"]
    assert steps["login"].status is Status.PASS


def test_a_host_that_is_not_azure_s(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    steps = check(settings_for(server, HOST="db.example.org"))
    assert codes(steps) == ["settings.not_azure_host", "certificate.host_mismatch"]


# ca


def test_the_packaged_roots(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    settings = settings_for(server)
    del settings["OPTIONS"]["sslrootcert"]
    steps = check(settings)
    assert steps["ca"].code == "ca.ok"
    assert steps["ca"].detail["source"] == "package"
    assert len(steps["ca"].detail["roots"]) == 7
    assert codes(steps) == ["certificate.untrusted_root"]
    assert "'Demo Global Root G2'" in steps["certificate"].message


def test_the_system_s_roots_are_left_to_libpq(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, monkeypatch: pytest.MonkeyPatch, root_file: str
) -> None:
    settings = settings_for(server, {"sslrootcert": "system"})
    steps = check(settings)
    assert codes(steps) == ["settings.invalid", "login.tls_refused"]
    assert steps["certificate"].status is Status.SKIP
    monkeypatch.setenv("SSL_CERT_FILE", root_file)
    assert codes(check(settings)) == ["settings.invalid"]


def test_a_missing_ca_file_is_written(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path
) -> None:
    path = tmp_path / "new folder" / "azure.pem"
    steps = check(settings_for(server, {"sslrootcert": str(path)}))
    assert steps["ca"].code == "ca.ok"
    assert "written" in steps["ca"].message
    assert path.read_bytes() == Path(trust.BUNDLE).read_bytes()
    assert codes(steps) == ["certificate.untrusted_root"]


def test_update_ca_adds_roots_and_keeps_what_is_there(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path, root_file: str
) -> None:
    path = tmp_path / "own.pem"
    path.write_bytes(Path(root_file).read_bytes())
    steps = check(settings_for(server, {"sslrootcert": str(path)}))
    assert steps["ca"].code == "ca.root_missing"
    assert "DigiCert Global Root G2" in steps["ca"].message
    assert path.read_bytes() == Path(root_file).read_bytes()
    steps = check(settings_for(server, {"sslrootcert": str(path)}), update=True)
    assert steps["ca"].code == "ca.ok"
    assert path.read_bytes().startswith(Path(root_file).read_bytes())
    assert len(steps["ca"].detail["roots"]) == 8
    assert codes(steps) == []


def test_export_writes_the_bundle_elsewhere(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path
) -> None:
    path = tmp_path / "psql.pem"
    check(settings_for(server), export=str(path))
    assert path.read_bytes() == Path(trust.BUNDLE).read_bytes()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"<!doctype html><title>Sign in</title>", "HTML"),
        (b"-----BEGIN CERTIFICATE-----\nMIIC", "damaged"),
        (b"hello", "no certificate"),
    ],
)
def test_a_ca_file_that_libpq_can_not_load(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path, content: bytes, part: str
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    steps = check(settings_for(server, {"sslrootcert": str(path)}))
    assert codes(steps) == ["ca.file_invalid"]
    assert part in steps["ca"].message
    assert steps["tls"].status is Status.PASS
    assert steps["certificate"].status is Status.SKIP
    assert path.read_bytes() == content


def test_a_folder_as_ca_file(server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path) -> None:
    assert codes(check(settings_for(server, {"sslrootcert": str(tmp_path)})))[0] == "settings.invalid"


def test_a_ca_file_where_none_can_be(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    steps = check(settings_for(server, {"sslrootcert": str(tmp_path / "file" / "ca.pem")}))
    assert codes(steps) == ["ca.file_invalid"]
    assert "Not a directory" in steps["ca"].message


def test_a_missing_ca_file_that_can_not_be_written(
    server: LocalPostgres, settings_for: SettingsFor, check: Check
) -> None:
    """Below /proc nobody can write, not even root."""
    steps = check(settings_for(server, {"sslrootcert": "/proc/azpg/ca.pem"}))
    assert codes(steps) == ["ca.file_missing"]
    assert "can't be written" in steps["ca"].message
    assert "or remove sslrootcert" in (steps["ca"].hint or "")


@pytest.mark.parametrize("path", ["/proc/azpg.pem", "/dev/null"])
def test_a_file_for_others_that_can_not_be_written_is_not_blamed_on_the_setting(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, path: str
) -> None:
    step = check(settings_for(server), export=path)["ca"]
    problem = next(each for each in step.problems if path in each.message)
    assert problem.is_error
    assert "Give --ca-file the path" in problem.hint
    assert "sslrootcert" not in str(problem)


def test_an_intermediate_pinned_as_root(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path, chain: Chain
) -> None:
    path = tmp_path / "pinned.pem"
    path.write_text(pem(chain.issuing.certificate))
    steps = check(settings_for(server, {"sslrootcert": str(path)}))
    assert codes(steps) == ["ca.not_a_root", "certificate.untrusted_root"]


def test_a_root_that_ends_soon(
    own_server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path
) -> None:
    root = Authority.root("Ending Root", Profile(days=(-200, 20), ca=True))
    own_server.use_chain(azure_chain(HOST, root))
    path = tmp_path / "ending.pem"
    path.write_text(root.pem + Path(trust.BUNDLE).read_text())
    steps = check(settings_for(own_server, {"sslrootcert": str(path)}))
    assert codes(steps) == ["ca.root_expiring"]
    assert steps["login"].status is Status.PASS


# dns


def test_an_unknown_name(at_port: AtPort, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = at_port(5432)
    del settings["OPTIONS"]["hostaddr"]
    outcomes: dict[str, Any] = {
        "dns.not_found": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        "dns.temporary_failure": socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    }
    for code, error in outcomes.items():

        def fail(*args: Any, error: Exception = error, **kwargs: Any) -> Any:
            raise error

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        steps = check(settings)
        assert codes(steps) == [code]
        assert HOST in steps["dns"].message
        assert [steps[name].message for name in ("tcp", "tls", "certificate", "login", "session")] == [
            "needs dns",
            "needs tcp",
            "needs tls",
            "needs certificate",
            "needs login",
        ]


def test_a_name_server_that_never_answers(at_port: AtPort, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = at_port(5432)
    del settings["OPTIONS"]["hostaddr"]
    waiting = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: waiting.wait(60))
    steps = check(settings, timeout=0.5)
    waiting.set()
    assert codes(steps) == ["dns.timeout"]
    assert steps["dns"].duration_ms < 30_000


# tcp


def test_a_closed_port(at_port: AtPort, check: Check) -> None:
    steps = check(at_port(servers.closed_port()))
    assert codes(steps) == ["tcp.refused"]


def test_a_port_that_drops_packets(at_port: AtPort, check: Check) -> None:
    with servers.unanswering() as port:
        steps = check(at_port(port), timeout=1)
    assert codes(steps) == ["tcp.timeout"]


def test_a_closed_pgbouncer_port_is_named(at_port: AtPort, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real one may be in use on this machine.
    port = servers.closed_port()
    monkeypatch.setattr(hosts, "PGBOUNCER_PORTS", {port})
    steps = check({**at_port(port), "DISABLE_SERVER_SIDE_CURSORS": True})
    assert codes(steps) == ["tcp.refused"]
    assert "pgbouncer.enabled" in (steps["tcp"].hint or "")


@pytest.mark.parametrize(("port", "said"), [(5432, "or 6432"), (7432, "elastic clusters"), (8432, "elastic clusters")])
def test_the_ports_of_a_cluster_are_named(port: int, said: str) -> None:
    """They may be in use on this machine, so nobody knocks."""
    assert said in tcp._refused_hint(hosts.Endpoint(HOST, "", port))
    assert "on this machine" in tcp._refused_hint(hosts.Endpoint("localhost", "", port))
    assert (port in hosts.CLUSTER_PORTS) == (said == "elastic clusters")
    settings = {"ENGINE": "azpg_backend", "NAME": "app", "USER": "me", "HOST": HOST, "PORT": port}
    problems = [each.id for each in decide("default", settings, environ={}).problems]
    # Of the two only one leads to PgBouncer.
    assert problems == (["azpg.W004"] if port == 8432 else [])


@pytest.mark.parametrize(
    ("number", "code"),
    [("ENETUNREACH", "tcp.unreachable"), ("EHOSTUNREACH", "tcp.unreachable"), ("ECONNRESET", "tcp.reset")],
)
def test_a_path_that_fails(
    at_port: AtPort, check: Check, monkeypatch: pytest.MonkeyPatch, number: str, code: str
) -> None:
    """No such path can be made on loopback without changing the machine's routes: the socket's own errors stand in."""
    import errno

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(socket, "create_connection", fail)
    assert codes(check(at_port(5432))) == [code]


# tls


@pytest.mark.slow
@pytest.mark.parametrize("name", TLS_CASES)
def test_servers_that_fail_at_tls(at_port: AtPort, check: Check, connect: Any, scenarios: Scenarios, name: str) -> None:
    behave, code, part = TLS_CASES[name]
    with servers.listening(behave) as port:
        steps = check(at_port(port), timeout=2 if code == "tls.timeout" else 30)
        with pytest.raises(OperationalError) as caught:
            connect(at_port(port, connect_timeout=2)).cursor()
    assert codes(steps) == [code]
    assert part in steps["tls"].message
    assert "\x1b" not in steps["tls"].message
    assert steps["tls"].duration_ms < 25_000
    assert steps["certificate"].status is Status.SKIP
    scenarios.add("Before TLS", name, code, caught.value)


def test_a_server_with_only_old_tls(at_port: AtPort, check: Check, chain: Chain) -> None:
    good = servers.TLSServer(chain.server_pem, chain.key_pem, then=servers.closing)
    with servers.listening(good) as port:
        assert check(at_port(port))["tls"].code == "tls.ok"
    old = servers.TLSServer(
        chain.server_pem, chain.key_pem, maximum=ssl.TLSVersion.TLSv1_1, ciphers="DEFAULT:@SECLEVEL=0"
    )
    with servers.listening(old) as port:
        assert codes(check(at_port(port))) == ["tls.protocol_version"]


def test_no_cipher_in_common(at_port: AtPort, check: Check, chain: Chain) -> None:
    server = servers.TLSServer(
        chain.server_pem, chain.key_pem, maximum=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"
    )
    with servers.listening(server) as port:
        assert codes(check(at_port(port))) == ["tls.handshake_failed"]


# login


@pytest.mark.parametrize(("text", "code"), LOGIN_TEXTS)
def test_what_a_server_says_at_login(
    at_port: AtPort, check: Check, connect: Any, chain: Chain, scenarios: Scenarios, text: str, code: str
) -> None:
    """The verbatim texts of PostgreSQL, PgBouncer and Azure, sent by a server over real TLS."""
    answer = servers.logging_in(servers.error_response(text))
    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem, then=answer)) as port:
        steps = check(at_port(port))
        with pytest.raises(OperationalError) as caught:
            connect(at_port(port)).cursor()
    scenarios.add("Logging in", "the server says so", code, caught.value)
    assert codes(steps) == [code]
    assert text in steps["login"].message
    assert steps["login"].hint
    assert steps["session"].message == "needs login"


def test_a_server_that_closes_after_tls(at_port: AtPort, check: Check, chain: Chain) -> None:
    server = servers.TLSServer(chain.server_pem, chain.key_pem, then=servers.closing)
    with servers.listening(server) as port:
        steps = check(at_port(port))
    assert codes(steps) == ["login.failed"]
    assert "cut" in (steps["login"].hint or "")


@pytest.mark.slow
def test_a_server_that_never_ends_the_login(at_port: AtPort, check: Check, chain: Chain) -> None:
    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem)) as port:
        steps = check(at_port(port), timeout=3)
    assert codes(steps) == ["login.timeout"]
    assert steps["login"].duration_ms < 30_000


@pytest.mark.slow
def test_a_flood_of_notices_does_not_hold_the_check(at_port: AtPort, check: Check, chain: Chain) -> None:
    """libpq's connect_timeout does not run out while bytes keep coming."""
    notice = servers.error_response("patience", "00000").replace(b"E", b"N", 1)

    def flood(visitor: socket.socket) -> None:
        visitor.recv(4096)
        visitor.sendall(b"R" + struct.pack("!ii", 8, 0))
        for _ in range(600):
            visitor.sendall(notice)
            threading.Event().wait(0.1)

    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem, then=flood)) as port:
        steps = check(at_port(port), timeout=3)
    assert codes(steps) == ["login.timeout"]
    assert steps["login"].duration_ms < 30_000


def test_a_message_in_another_encoding(at_port: AtPort, check: Check, chain: Chain) -> None:
    answer = servers.logging_in(servers.error_response("verweigert f?r").replace(b"?", b"\xfc"))
    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem, then=answer)) as port:
        steps = check(at_port(port))
    assert codes(steps) == ["login.failed"]
    assert ("verweigert" if is_psycopg3 else "encoding") in steps["login"].message


def test_real_logins_that_fail(own_server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    settings = settings_for(own_server)
    assert codes(check(settings)) == []
    assert codes(check({**settings, "PASSWORD": "wrong"})) == ["login.wrong_password"]
    assert codes(check({**settings, "PASSWORD": ""})) == ["login.wrong_password"]
    assert codes(check({**settings, "NAME": "nope"})) == ["login.unknown_database"]
    own_server.sql("CREATE DATABASE closed; ")
    own_server.sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    assert codes(check({**settings, "NAME": "closed"})) == ["login.permission_denied"]
    own_server.sql("CREATE ROLE nologin PASSWORD 'x'")
    assert codes(check({**settings, "USER": "nologin", "PASSWORD": "x"})) == ["login.permission_denied"]
    step = check({**settings, "OPTIONS": {**settings["OPTIONS"], "options": "-c nope=1"}})["login"]
    assert step.message.count("unrecognized configuration parameter") == 1
    own_server.set_hba("hostssl all app 127.0.0.1/32 reject")
    assert codes(check(settings)) == ["login.no_hba_entry"]
    own_server.set_hba()
    own_server.sql("ALTER ROLE app CONNECTION LIMIT 0")
    assert codes(check(settings)) == ["login.too_many_connections"]


def test_a_server_that_changes_its_certificate(at_port: AtPort, check: Check, chain: Chain) -> None:
    """As behind a load balancer with one bad node: our handshake meets the good one, libpq's the other."""
    other = azure_chain(HOST)
    nodes = [servers.TLSServer(chain.server_pem, chain.key_pem), servers.TLSServer(other.server_pem, other.key_pem)]

    def behave(visitor: socket.socket) -> None:
        # The first visitor is the tcp step's connection, on which the tls step goes on.
        (nodes.pop(0) if len(nodes) > 1 else nodes[0])(visitor)

    with servers.listening(behave) as port:
        steps = check(at_port(port))
    assert codes(steps) == ["login.tls_refused"]
    assert steps["certificate"].status is Status.PASS


# session


def test_a_pooler_without_tls_behind_it(
    own_server: LocalPostgres, settings_for: SettingsFor, check: Check, chain: Chain
) -> None:
    """TLS ends in the middle, and the server sees a connection without."""
    own_server.set_hba("host all all 127.0.0.1/32 scram-sha-256")

    def relay(secured: socket.socket) -> None:
        with socket.create_connection((own_server.host, own_server.port)) as upstream:
            back = threading.Thread(target=servers.pump, args=(upstream, secured), daemon=True)
            back.start()
            servers.pump(secured, upstream)

    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem, then=relay)) as port:
        steps = check(settings_for(own_server, PORT=port))
    assert codes(steps) == ["session.tls_not_confirmed"]
    assert "a pooler stands in between" in steps["session"].message


def test_sessions_that_are_not_as_they_should_be(
    own_server: LocalPostgres, settings_for: SettingsFor, check: Check
) -> None:
    settings = settings_for(own_server)
    assert codes(check(settings)) == []
    own_server.sql("ALTER ROLE app SET default_transaction_read_only = on")
    steps = check(settings)
    assert codes(steps) == ["session.read_only"]
    assert steps["session"].status is Status.WARN
    own_server.sql("ALTER ROLE app RESET default_transaction_read_only")
    assert codes(check({**settings, "OPTIONS": {**settings["OPTIONS"], "assume_role": "nobody_there"}})) == [
        "session.failed"
    ]


def test_a_server_that_is_too_old(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old PostgreSQL can't be installed everywhere: Django is told to want a newer one instead."""
    from django.db.backends.postgresql.features import DatabaseFeatures

    monkeypatch.setattr(DatabaseFeatures, "minimum_database_version", (99,))
    steps = check(settings_for(server))
    assert codes(steps) == ["session.unsupported_version"]
    assert steps["login"].status is Status.PASS


def test_plaintext_on_loopback(own_server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    own_server.set_hba("host all all 127.0.0.1/32 scram-sha-256")
    settings = settings_for(own_server, HOST="localhost", OPTIONS={"azpg": {"plaintext_on_loopback": True}})
    steps = check(settings)
    assert codes(steps) == []
    assert steps["tls"].status is Status.SKIP
    assert steps["session"].detail["tls"] is False


# several hosts


def test_several_hosts(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    settings = settings_for(server, HOST=f"{HOST},{HOST}", PORT=f"{servers.closed_port()},{server.port}")
    settings["OPTIONS"]["hostaddr"] = "127.0.0.1,127.0.0.1"
    steps = check(settings)
    assert codes(steps) == ["tcp.refused"]
    assert steps["tcp"].status is Status.WARN
    assert steps["session"].status is Status.PASS


def test_sha_of_digest_is_what_the_certificate_has(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, chain: Chain
) -> None:
    row = check(settings_for(server))["certificate"].detail["chain"][0]
    assert row["sha256"] == chain.leaf.fingerprint(hashes.SHA256()).hex()


def test_a_server_with_an_rsa_key(at_port: AtPort, check: Check, chain: Chain) -> None:
    key = new_key(2048)
    leaf = chain.issuing.issue(HOST, key, Profile(names=(HOST,)))
    certificates = pem(leaf, chain.issuing.certificate, chain.cross_signed.certificate)
    with servers.listening(servers.TLSServer(certificates, key_pem(key), then=servers.closing)) as port:
        steps = check(at_port(port))
    assert steps["certificate"].code == "certificate.ok"


def test_the_key_of_another_certificate_is_no_pass(at_port: AtPort, check: Check, chain: Chain) -> None:
    """Somebody who shows the right certificate, but can't sign with its key."""
    while True:
        key = new_key()
        own = chain.issuing.issue(HOST, key, Profile(names=(HOST,), purposes=SERVER_AUTH))
        shown, sent = (each.public_bytes(serialization.Encoding.DER) for each in (chain.leaf, own))
        if len(shown) == len(sent):
            break
    certificates = pem(own, chain.issuing.certificate, chain.cross_signed.certificate)
    # Only up to TLS 1.2 does a certificate travel in the clear, where it can be replaced.
    server = servers.TLSServer(certificates, key_pem(key), then=servers.closing, maximum=ssl.TLSVersion.TLSv1_2)
    with servers.listening(server) as port:
        assert check(at_port(port))["certificate"].code == "certificate.ok"
        with servers.listening(servers.replacing(port, sent, shown)) as impostor:
            steps = check(at_port(impostor))
    assert codes(steps) == ["tls.handshake_failed"]
    assert "signature" in steps["tls"].message
    assert steps["certificate"].status is Status.SKIP
