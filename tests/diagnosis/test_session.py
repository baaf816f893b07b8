"""What the session step says of rights, of read-only sessions, of standbys and of odd servers."""

from __future__ import annotations

import dataclasses
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from azpg_backend.diagnosis import rights
from azpg_backend.diagnosis.facts import Extensions, Facts
from azpg_backend.diagnosis.report import Status
from azpg_backend.diagnosis.steps import session
from azpg_backend.errors.problem import Severity
from demo_project.localpg import Chain, LocalPostgres
from tests.support import servers
from tests.support.diagnosis import Check, codes
from tests.support.pgbouncer import PgBouncer, needs_pgbouncer
from tests.support.settings import PASSWORD, SettingsFor

FACTS = Facts(
    server_version="17.10",
    user="app",
    read_only=False,
    in_recovery=False,
    tls=True,
    protocol="TLSv1.3",
    cipher="TLS_AES_256_GCM_SHA384",
    database="app",
    search_path='"$user", public',
    schema="public",
    may_create=True,
)


# Servers that log in, and then


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def logged_in(version: str = "17.10", **parameters: str) -> bytes:
    """What a server sends from the successful login to the moment when it waits for a query."""
    known = {
        "server_version": version,
        "server_encoding": "UTF8",
        "client_encoding": "UTF8",
        "DateStyle": "ISO, MDY",
        "integer_datetimes": "on",
        "standard_conforming_strings": "on",
        "TimeZone": "UTC",
        **parameters,
    }
    told = b"".join(message(b"S", f"{key}\0{value}\0".encode()) for key, value in known.items())
    return message(b"R", struct.pack("!i", 0)) + told + message(b"K", b"\0" * 8) + message(b"Z", b"I")


def row_of(*values: bytes) -> bytes:
    """A result of one row of text."""
    column = b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
    cells = b"".join(struct.pack("!i", len(value)) + value for value in values)
    return (
        message(b"1", b"")
        + message(b"2", b"")
        + message(b"T", struct.pack("!h", len(values)) + column * len(values))
        + message(b"D", struct.pack("!h", len(values)) + cells)
        + message(b"C", b"SELECT 1\0")
        + message(b"Z", b"I")
    )


def behaving(chain: Chain, then: servers.Behaviour, version: str = "17.10", **parameters: str) -> servers.TLSServer:
    def behave(visitor: socket.socket) -> None:
        visitor.recv(4096)
        visitor.sendall(logged_in(version, **parameters))
        then(visitor)

    return servers.TLSServer(chain.server_pem, chain.key_pem, then=behave)


def always(answer: bytes) -> servers.Behaviour:
    def behave(visitor: socket.socket) -> None:
        while (data := visitor.recv(65536)) and not data.startswith(b"X"):
            visitor.sendall(answer)

    return behave


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", "Mars"], ids=["the check asks first", "Django asks first"])
def test_a_server_that_never_answers_a_query(at_port: Any, check: Check, chain: Chain, zone: str) -> None:
    """B1: closing waits for the stuck query, unless its socket is cut."""
    with servers.listening(behaving(chain, servers.silent, TimeZone=zone)) as port:
        started = time.monotonic()
        steps = check(at_port(port), timeout=2)
        took = time.monotonic() - started
    assert codes(steps) == ["session.timeout"]
    assert steps["login"].status is Status.PASS
    # Two steps that wait, a second for leaving, and a machine that is busy.
    assert took < 2 * (2 + 2) + 1 + 8


@pytest.mark.parametrize(
    "answer",
    [
        row_of(b"1"),
        message(b"I", b"") + message(b"Z", b"I"),
        message(b"C", b"SELECT 0\0") + message(b"Z", b"I"),
        servers.error_response("unsupported statement", "0A000") + message(b"Z", b"I"),
        b"\xff" * 64,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        row_of(*[b"x"] * 11),
    ],
    ids=["one column", "empty", "no row", "error", "noise", "http", "eleven texts"],
)
def test_a_server_that_answers_otherwise(at_port: Any, check: Check, chain: Chain, answer: bytes) -> None:
    """B11: any surprise in words, without a request to report it."""
    with servers.listening(behaving(chain, always(answer))) as port:
        steps = check(at_port(port), timeout=5)
    assert steps["session"].code.startswith("session.")
    assert steps["session"].status in {Status.FAIL, Status.WARN}
    assert "report it" not in (steps["session"].hint or "")


@pytest.mark.parametrize(("version", "said"), [("9.4.26", "9.4"), ("10.23", "10.23"), ("13.18", "13.18")])
def test_an_old_server(at_port: Any, check: Check, chain: Chain, version: str, said: str) -> None:
    """B11: libpq knows the release before a query that the server may not understand."""
    with servers.listening(behaving(chain, always(servers.error_response("syntax error", "42601")), version)) as port:
        steps = check(at_port(port), timeout=5)
    assert codes(steps) == ["session.unsupported_version"]
    assert f"PostgreSQL {said} is older" in steps["session"].message


# PgBouncer


@needs_pgbouncer
def test_a_pgbouncer_without_its_server(own_server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    """It lets its clients in, and ends the first query: no setting of Django's is at fault."""
    with PgBouncer(own_server, settings="query_wait_timeout = 1\n") as pgbouncer:
        settings = settings_for(own_server, PORT=pgbouncer.port)
        assert codes(check(settings)) == []
        own_server.stop("immediate")
        steps = check(settings)
    (code,) = codes(steps)
    assert code in {"session.failed", "login.starting_up", "login.failed", "login.too_many_connections"}
    hint = steps[code.partition(".")[0]].hint or ""
    assert "That means: " in hint
    assert "TIME_ZONE" not in hint


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("query_wait_timeout", "PgBouncer"),
        ("SSL connection has been closed unexpectedly", "a PgBouncer that found no free server in time"),
        ('role "nope" does not exist', "assume_role"),
        ("permission denied to set role", "assume_role"),
    ],
)
def test_what_stops_django_s_first_statement(words: str, part: str) -> None:
    assert part in session._why(Exception(words))


@needs_pgbouncer
def test_pgbouncer_s_own_console(own_server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    with PgBouncer(own_server, settings="admin_users = app\n") as pgbouncer:
        step = check(settings_for(own_server, PORT=pgbouncer.port, NAME="pgbouncer"))["session"]
    assert "PgBouncer's own console" in step.message
    assert "Set NAME" in (step.hint or "")


# Rights


def test_a_role_that_may_not_create_tables(own_server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    """B5"""
    settings = settings_for(own_server)
    assert codes(check(settings)) == []
    own_server.create("worker", PASSWORD.replace("'", "''"))
    own_server.sql("GRANT CONNECT ON DATABASE app TO worker")
    steps = check({**settings, "USER": "worker"})
    assert codes(steps) == ["session.cannot_create"]
    assert steps["session"].status is Status.WARN
    hint = steps["session"].hint or ""
    assert "GRANT USAGE ON SCHEMA public TO worker; GRANT CREATE ON SCHEMA public TO worker;" in hint
    own_server.sql("GRANT USAGE ON SCHEMA public TO worker; GRANT CREATE ON SCHEMA public TO worker", "app")
    assert codes(check({**settings, "USER": "worker"})) == []


def test_the_schema_that_migrate_would_use(own_server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    settings = settings_for(own_server)
    own_server.sql('CREATE SCHEMA "My App"; GRANT USAGE ON SCHEMA "My App" TO app', "app")
    for path, said in (('"My App", public', '"My App"'), ("nowhere", "nowhere")):
        own_server.sql(f"ALTER ROLE app SET search_path = {path}")
        steps = check(settings)
        assert codes(steps) == ["session.cannot_create"]
        assert f"GRANT CREATE ON SCHEMA {said} TO app;" in (steps["session"].hint or "")
    assert "CREATE SCHEMA IF NOT EXISTS nowhere;" in (steps["session"].hint or "")


def test_a_role_without_createdb_is_no_warning(
    own_server: LocalPostgres, settings_for: SettingsFor, check: Check
) -> None:
    own_server.sql("ALTER ROLE app NOCREATEDB")
    assert codes(check(settings_for(own_server))) == []


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any = None) -> str:
    """The notes' migrations, replaced by some that create extensions."""
    from django.conf import settings as configured

    package = tmp_path / "extending_migrations"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "0001_initial.py").write_text(
        "from django.db import migrations\n"
        "from django.contrib.postgres.operations import CreateExtension, TrigramExtension\n"
        "class Migration(migrations.Migration):\n"
        "    operations = [\n"
        "        TrigramExtension(),\n"
        "        migrations.SeparateDatabaseAndState(database_operations=[CreateExtension('no_such_extension')]),\n"
        "    ]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(configured, "MIGRATION_MODULES", {"notes": "extending_migrations"})
    yield "extending_migrations"
    for name in [name for name in sys.modules if name.startswith("extending_migrations")]:
        del sys.modules[name]


def test_an_extension_that_the_server_does_not_offer(
    own_server: LocalPostgres, settings_for: SettingsFor, check: Check, migrations: str
) -> None:
    """B5"""
    steps = check(settings_for(own_server))
    assert codes(steps) == ["session.cannot_create"]
    assert "'no_such_extension' (notes.0001_initial)" in steps["session"].message
    hint = steps["session"].hint or ""
    assert "az postgres flexible-server parameter set" in hint
    assert "--server-name demo --name azure.extensions --value" in hint
    assert "CREATE EXTENSION IF NOT EXISTS no_such_extension;" in hint


def test_migrations_that_can_not_be_read(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, migrations: str, tmp_path: Path
) -> None:
    (tmp_path / migrations / "0002_broken.py").write_text("raise SystemError('not today')\n")
    assert codes(check(settings_for(server))) == []


def test_the_allow_list_of_azure(server: LocalPostgres, settings_for: SettingsFor, connect: Any) -> None:
    plan = connect(settings_for(server)).plan()
    wanted = {"pg_trgm": "notes.0001_initial"}
    for allowed, problem in ((None, False), ({"pg_trgm", "citext"}, False), ({"citext"}, True), (set(), True)):
        found = Extensions(None if allowed is None else frozenset(allowed), frozenset(wanted), frozenset())
        said = rights.of_extensions(found, wanted, plan)
        assert bool(said) is problem
        if said:
            assert said.severity is Severity.WARNING
            # What is allowed already stays allowed.
            assert f"--value {','.join(sorted({*(allowed or ()), 'pg_trgm'}))}." in said.hint
    assert rights.of_extensions(Extensions(frozenset(), frozenset(), frozenset(wanted)), wanted, plan) is None


# Read-only


@pytest.mark.parametrize(
    ("statement", "said", "undo"),
    [
        ("ALTER ROLE app SET {}", "the role is set so", "ALTER ROLE app RESET"),
        ("ALTER DATABASE app SET {}", "the database is set so", "ALTER DATABASE app RESET"),
        ("ALTER ROLE app IN DATABASE app SET {}", "in this database", "ALTER ROLE app IN DATABASE app RESET"),
        ("", "storage", "Storage percent"),
    ],
)
def test_why_a_session_is_read_only(
    own_server: LocalPostgres, settings_for: SettingsFor, check: Check, statement: str, said: str, undo: str
) -> None:
    """B6: settings first; a server's own configuration is what Azure does when the storage is full."""
    if statement:
        own_server.sql(statement.format("default_transaction_read_only = on"))
    else:
        own_server.configure(default_transaction_read_only="on")
    steps = check(settings_for(own_server))
    assert codes(steps) == ["session.read_only"]
    assert steps["session"].status is Status.WARN
    assert said in steps["session"].message
    assert undo in (steps["session"].hint or "")
    assert (steps["session"].detail["role"], steps["session"].detail["lag_seconds"]) == ("primary", None)


def test_read_only_on_purpose(
    own_server: LocalPostgres, settings_for: SettingsFor, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B6: an alias that is meant for reading passes, with a word on it."""
    from azpg_backend.base import DatabaseWrapper

    own_server.sql("ALTER ROLE app SET default_transaction_read_only = on")
    plan = DatabaseWrapper.plan
    monkeypatch.setattr(DatabaseWrapper, "plan", lambda self: dataclasses.replace(plan(self), writes=False))
    steps = check(settings_for(own_server))
    assert codes(steps) == []
    assert "read-only, as the settings ask" in steps["session"].message


def test_a_standby_is_named_before_the_storage() -> None:
    standby = dataclasses.replace(FACTS, read_only=True, in_recovery=True)
    assert "standby" in session.read_only(standby, "").message
    assert ".writer" in session.read_only(standby, "").hint
    assert "settings ask" in session.read_only(standby, "client").message
    assert "storage" in session.read_only(dataclasses.replace(FACTS, read_only=True), "").message


# Protection


def test_a_cipher_that_does_not_protect() -> None:
    """C17: OPENSSL_CONF can let in what OpenSSL keeps out."""
    assert session.unprotected(FACTS, client_tls=True) == []
    for cipher in ("ECDHE-RSA-NULL-SHA", "NULL-SHA256", "RC4-MD5", "EXP-DES-CBC-SHA", "ADH-AES256-SHA", "DES-CBC-SHA"):
        (problem,) = session.unprotected(dataclasses.replace(FACTS, cipher=cipher), client_tls=True)
        assert problem.is_error
        assert cipher in problem.message
    for cipher in ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"):
        assert session.unprotected(dataclasses.replace(FACTS, cipher=cipher), client_tls=True) == []


@pytest.mark.parametrize(
    ("line", "weak"),
    [
        ("CipherString = ALL:eNULL:@SECLEVEL=0", True),
        ("CipherString = DEFAULT@SECLEVEL = 0", True),
        ("MinProtocol = TLSv1", True),
        ("CipherString = DEFAULT:!eNULL:@SECLEVEL=2", False),
        ("# CipherString = eNULL", False),
        ("MinProtocol = TLSv1.2", False),
    ],
)
def test_openssl_conf(
    server: LocalPostgres,
    settings_for: SettingsFor,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    line: str,
    weak: bool,
) -> None:
    """C17"""
    path = tmp_path / "openssl.cnf"
    path.write_text(f"openssl_conf = x\n[x]\n{line}\n")
    monkeypatch.setenv("OPENSSL_CONF", str(path))
    steps = check(settings_for(server))
    assert codes(steps) == (["settings.weak_tls"] if weak else [])
    assert "OPENSSL_CONF" in steps["settings"].message
    assert steps["login"].status is Status.PASS


def test_threads_of_a_stuck_session_end(at_port: Any, check: Check, chain: Chain) -> None:
    with servers.listening(behaving(chain, servers.silent)) as port:
        check(at_port(port), timeout=1)
        end = time.monotonic() + 20
        while any(thread.name == "azpg-check-query" for thread in threading.enumerate()):
            assert time.monotonic() < end, [thread.name for thread in threading.enumerate()]
            time.sleep(0.05)
