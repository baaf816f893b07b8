"""The engine against a real PostgreSQL over real TLS: every path is verified, and nothing weakens it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import ConnectionHandler, connections
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError, ProgrammingError

from azpg_backend.base import DatabaseWrapper
from demo_project.localpg import Authority, LocalPostgres, azure_chain
from tests.support.settings import HOST, NO_RETRY, PASSWORD, Settings, SettingsFor
from tests.support.sql import sessions_of
from tests.support.waiting import until

Connect = Callable[..., Any]
TLS = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def tls_of(wrapper: Any) -> tuple[bool, str]:
    with wrapper.cursor() as cursor:
        cursor.execute(TLS)
        row: tuple[bool, str] = cursor.fetchone()
        return row


def test_one_line_gives_verified_tls(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    assert tls_of(connect(settings_for(server))) == (True, "TLSv1.3")


def test_another_root_is_refused(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(Authority.root("Demo Global Root G2").pem)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        tls_of(connect(settings_for(server, {"sslrootcert": str(other)})))


def test_the_packaged_roots_refuse_a_private_server(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    settings = settings_for(server)
    del settings["OPTIONS"]["sslrootcert"]
    with pytest.raises(OperationalError, match="certificate verify failed"):
        tls_of(connect(settings))


def test_another_name_is_refused(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    with pytest.raises(OperationalError, match="does not match host name"):
        tls_of(connect(settings_for(server, HOST="other.postgres.database.azure.com")))


def test_verify_ca_accepts_another_name_but_not_another_root(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, tmp_path: Path
) -> None:
    settings = settings_for(server, {"sslmode": "verify-ca"}, HOST="other.postgres.database.azure.com")
    assert tls_of(connect(settings))[0]
    other = tmp_path / "other.pem"
    other.write_text(Authority.root("Other").pem)
    settings["OPTIONS"]["sslrootcert"] = str(other)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        tls_of(connect(settings))


def test_the_user_may_tighten(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    options = {"ssl_min_protocol_version": "TLSv1.3", "channel_binding": "require", "require_auth": "scram-sha-256"}
    assert tls_of(connect(settings_for(server, options))) == (True, "TLSv1.3")


def test_a_lower_maximum_is_obeyed(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    assert tls_of(connect(settings_for(server, {"ssl_max_protocol_version": "TLSv1.2"}))) == (True, "TLSv1.2")


@pytest.mark.parametrize(
    "environ",
    [
        {"PGSSLMODE": "disable"},
        {"PGSSLMODE": "require", "PGSSLROOTCERT": ""},
        {"PGSSLMINPROTOCOLVERSION": "TLSv1", "PGSSLMAXPROTOCOLVERSION": "TLSv1.1"},
        {"PGGSSENCMODE": "require"},
        {"PGSSLCERTMODE": "require"},
        {"PGSSLCERT": "/nowhere.pem", "PGSSLKEY": "/nowhere.key"},
    ],
)
def test_the_environment_changes_nothing(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert tls_of(connect(settings_for(server))) == (True, "TLSv1.3")


@pytest.mark.parametrize("where", ["PGSSLROOTCERT", "home"])
def test_roots_from_elsewhere_are_not_trusted(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    root_file: str,
    where: str,
) -> None:
    """The server's own root in the environment or the home folder: only settings can bring it in."""
    if where == "home":
        folder = Path(os.environ["HOME"], ".postgresql")
        folder.mkdir()
        (folder / "root.crt").write_bytes(Path(root_file).read_bytes())
    else:
        monkeypatch.setenv("PGSSLROOTCERT", root_file)
    settings = settings_for(server)
    del settings["OPTIONS"]["sslrootcert"]
    with pytest.raises(OperationalError, match="certificate verify failed"):
        tls_of(connect(settings))


@pytest.mark.parametrize("by", ["environment", "options"])
def test_a_service_file_changes_nothing(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by: str,
) -> None:
    services = tmp_path / "services.conf"
    services.write_text("[weak]\nsslmode=disable\nssl_min_protocol_version=TLSv1\nssl_max_protocol_version=TLSv1.1\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    if by == "environment":
        monkeypatch.setenv("PGSERVICE", "weak")
    assert tls_of(connect(settings_for(server, {"service": "weak"} if by == "options" else {}))) == (True, "TLSv1.3")


def test_a_conninfo_in_name_is_only_a_name(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    with pytest.raises(OperationalError, match='database "app sslmode=disable" does not exist'):
        tls_of(connect(settings_for(server, NAME="app sslmode=disable")))


def test_a_stray_client_certificate_of_another_account_does_no_harm(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    folder = Path(os.environ["HOME"], ".postgresql")
    folder.mkdir()
    (folder / "postgresql.crt").write_text("not a certificate")
    assert tls_of(connect(settings_for(server)))[0]
    # The same with libpq's own default is broken, so the file was really in the way.
    with pytest.raises((OperationalError, UnicodeDecodeError)):
        tls_of(connect(settings_for(server, {"sslcertmode": "allow"})))


@pytest.fixture
def eavesdropper() -> Iterator[tuple[int, list[bytes]]]:
    """A port that notes that somebody came, and what was said."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            try:
                while True:
                    visitor, _ = listener.accept()
                    with visitor:
                        visitor.settimeout(30)
                        heard.append(visitor.recv(100))
            except OSError:
                pass

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


REFUSED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"sslmode": "disable"}, {}),
    ({"sslmode": "verify-all"}, {}),
    ({"ssl_min_protocol_version": "TLSv1.1"}, {}),
    ({"ssl_min_protocol_version": ""}, {}),
    ({"ssl_max_protocol_version": "TLSv1"}, {}),
    ({"gssencmode": "prefer"}, {}),
    ({"dsn": "sslmode=disable"}, {}),
    ({"requiressl": "0"}, {}),
    ({"azpg": {"nope": 1}}, {}),
    ({"ssl_mode": "verify-full"}, {}),
    ({}, {"HOST": ""}),
    ({"azpg": {"plaintext_on_loopback": True}}, {}),
]


@pytest.mark.parametrize(("options", "changes"), REFUSED)
def test_wrong_settings_are_refused_before_a_byte_is_sent(
    eavesdropper: tuple[int, list[bytes]],
    connect: Connect,
    options: dict[str, Any],
    changes: dict[str, Any],
) -> None:
    port, heard = eavesdropper
    base: Settings = {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "USER": "app",
        "PASSWORD": PASSWORD,
        "HOST": HOST,
        "PORT": port,
        "OPTIONS": {"hostaddr": "127.0.0.1", "connect_timeout": 30, "azpg": NO_RETRY},
    }
    # The good case first: with these settings the port is reached and hears libpq's request for TLS.
    with pytest.raises(OperationalError):
        tls_of(connect(base))
    assert heard == [bytes.fromhex("0000000804d2162f")]
    with pytest.raises(ImproperlyConfigured, match=r"DATABASES\['default'\]"):
        tls_of(connect({**base, **changes, "OPTIONS": {**base["OPTIONS"], **options}}))
    assert len(heard) == 1


def test_plaintext_on_loopback(own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    settings = settings_for(own_server, HOST="localhost")
    settings["OPTIONS"] = {"azpg": {"plaintext_on_loopback": True}}
    with pytest.raises(OperationalError, match="no encryption"):
        tls_of(connect(settings))
    own_server.set_hba("host all all 127.0.0.1/32 scram-sha-256")
    with connect(settings_for(own_server, HOST="localhost", OPTIONS=settings["OPTIONS"])).cursor() as cursor:
        cursor.execute(TLS)
        assert cursor.fetchone() == (False, None)


def test_the_maintenance_connection_has_tls(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    wrapper = connect(settings_for(server))
    with wrapper._nodb_cursor() as cursor:
        cursor.execute(f"SELECT current_database(), ssl FROM ({TLS}) AS t")
        assert cursor.fetchone() == ("postgres", True)


def test_the_test_runner_s_databases_have_tls(
    server: LocalPostgres, settings_for: SettingsFor, databases: Callable[..., None]
) -> None:
    databases(default=settings_for(server, TEST={"NAME": "test_engine", "MIGRATE": False}))
    wrapper = connections["default"]
    wrapper.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        assert wrapper.settings_dict["NAME"] == "test_engine"
        assert tls_of(wrapper) == (True, "TLSv1.3")
        wrapper.creation.clone_test_db("1", verbosity=0, autoclobber=True)
        clone = type(wrapper)(wrapper.creation.get_test_db_clone_settings("1"), "default")
        try:
            assert tls_of(clone) == (True, "TLSv1.3")
        finally:
            clone.close()
            wrapper.creation.destroy_test_db(suffix="1", verbosity=0)
    finally:
        wrapper.creation.destroy_test_db("app", verbosity=0)


def test_inspectdb_works_over_it(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    wrapper = connect(settings_for(server))
    with wrapper.cursor() as cursor:
        assert wrapper.introspection.table_names(cursor) == []


@pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
def test_a_pool_has_tls_in_every_connection(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    pool = {"min_size": 3, "max_size": 3, "timeout": 60}
    options = {"pool": pool, "application_name": "pool of three"}
    assert tls_of(connect(settings_for(server, options), alias="pooled")) == (True, "TLSv1.3")
    query = f"SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN ({sessions_of('pool of three')}) AS s USING (pid)"
    until(lambda: server.sql(query) == "3|t")


def test_several_hosts_fail_over(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        settings = settings_for(server, HOST=f"{HOST},{HOST}", PORT=f"{port},{server.port}")
        settings["OPTIONS"]["hostaddr"] = "127.0.0.1,127.0.0.1"
        assert tls_of(connect(settings)) == (True, "TLSv1.3")


def test_a_failed_connection_says_what_it_means(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    with pytest.raises(OperationalError) as caught:
        tls_of(connect(settings_for(server, PASSWORD="wrong"), alias="shop"))
    said, reason, command = str(caught.value).split("\n-> ")
    assert 'password authentication failed for user "app"' in said
    assert "does not exist or has no password" in reason
    assert command == "Run: manage.py azpg_check shop"
    assert isinstance(caught.value.__cause__, DatabaseWrapper.Database.OperationalError)


def test_an_expired_certificate_is_refused(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, chain: Any
) -> None:
    settings = settings_for(own_server)
    assert tls_of(connect(settings))[0]
    own_server.use_chain(azure_chain(HOST, chain.root, days=(-90, -1)))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        tls_of(connect(settings))


def test_making_a_wrapper_does_no_work() -> None:
    """django-postgres-extra and others make wrappers at import time."""
    settings = {"ENGINE": "azpg_backend", "NAME": "app", "OPTIONS": {"sslmode": "disable", "azpg": {"bad": 1}}}
    wrapper = ConnectionHandler({"default": settings})["default"]
    assert wrapper.connection is None
    assert wrapper.vendor == "postgresql"


@pytest.mark.skipif(is_psycopg3, reason="psycopg 3 decodes with replacement characters")
def test_a_message_that_is_not_utf8_is_a_database_error(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            visitor, _ = listener.accept()
            with visitor:
                visitor.recv(4096)
                body = b"SFATAL\0C28000\0MZugriff verweigert f\xfcr Benutzer\0\0"
                visitor.sendall(b"E" + (len(body) + 4).to_bytes(4, "big") + body)
                visitor.shutdown(socket.SHUT_WR)
                visitor.recv(4096)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        settings = {
            "ENGINE": "azpg_backend",
            "NAME": "app",
            "USER": "app",
            "HOST": "127.0.0.1",
            "PORT": listener.getsockname()[1],
            "OPTIONS": {"azpg": {"plaintext_on_loopback": True}},
        }
        with pytest.raises(OperationalError, match="encoding that psycopg2 can't read"):
            tls_of(connect(settings))
        thread.join(5)


def test_a_right_that_migrate_lacks_is_explained(
    server: LocalPostgres, settings_for: SettingsFor, connect: Callable[..., Any]
) -> None:
    """As migrate meets it on PostgreSQL 15 and newer; other refusals keep the server's words alone."""
    server.sql("CREATE SCHEMA IF NOT EXISTS of_others; GRANT USAGE ON SCHEMA of_others TO app", "app")
    wrapper = connect(settings_for(server))
    with pytest.raises(ProgrammingError) as denied, wrapper.cursor() as cursor:
        cursor.execute("CREATE TABLE of_others.refused (id int)")
    assert "permission denied for schema" in str(denied.value)
    assert "GRANT CREATE ON SCHEMA" in str(denied.value)
    with pytest.raises(ProgrammingError) as other, wrapper.cursor() as cursor:
        cursor.execute("SELECT * FROM pg_authid")
    assert "GRANT" not in str(other.value)
