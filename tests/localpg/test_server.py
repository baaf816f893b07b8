"""A real server, used as its callers do: first what works, then one thing wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demo_project.localpg import Authority, Chain, LocalPostgres, LocalPostgresError, azure_chain, server
from demo_project.localpg.binaries import find_binaries, program
from tests.support.psql import APP_PASSWORD, Ask, Refused
from tests.support.settings import HOST

pytestmark = [pytest.mark.server, pytest.mark.slow]

OWN_TLS = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
STARTED = "SELECT pg_postmaster_start_time()"


@pytest.fixture
def session(local: LocalPostgres) -> Iterator[subprocess.Popen[str]]:
    """A client that is connected, for as long as the test lasts; a statement to its stdin is answered on stdout."""
    where = f"hostaddr={local.host} port={local.port} user=app dbname=app sslmode=require"
    psql = subprocess.Popen(
        [program(find_binaries(), "psql"), "-XAtq", where],
        env={**os.environ, "PGPASSWORD": APP_PASSWORD},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    with psql:
        assert asked(psql, "SELECT 'here'") == "here"
        yield psql
        psql.kill()


def asked(session: subprocess.Popen[str], statement: str) -> str:
    assert session.stdin and session.stdout
    session.stdin.write(f"{statement};\n")
    return session.stdout.readline().strip()


def test_a_client_gets_in_over_verified_tls(local: LocalPostgres, ask: Ask) -> None:
    assert ask(local, OWN_TLS) == "t|TLSv1.3"


def test_another_root_is_not_believed(local: LocalPostgres, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(Authority.root("Demo Global Root G2").pem)
    with pytest.raises(Refused, match="certificate verify failed"):
        ask(local, sslrootcert=tmp_path / "root.pem")


def test_another_name_is_not_believed(local: LocalPostgres, ask: Ask) -> None:
    with pytest.raises(Refused, match="does not match host name"):
        ask(local, host="other.postgres.database.azure.com")


def test_plaintext_is_refused_as_on_azure(local: LocalPostgres, ask: Ask) -> None:
    with pytest.raises(Refused, match=r"no pg_hba\.conf entry for host .*, no encryption"):
        ask(local, sslmode="disable")


def test_a_wrong_password_is_refused(local: LocalPostgres, ask: Ask) -> None:
    local.create("other", "different", "other")
    with pytest.raises(Refused, match='password authentication failed for user "other"'):
        ask(local, user="other", dbname="other")
    local.sql("DROP DATABASE other")
    local.sql("DROP ROLE other")


def test_passwords_are_scram(local: LocalPostgres) -> None:
    assert local.sql("SELECT DISTINCT left(rolpassword, 13) FROM pg_authid WHERE rolcanlogin") == "SCRAM-SHA-256"


def test_a_database_belongs_to_its_owner(local: LocalPostgres) -> None:
    assert local.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app'") == "app"


def test_sql_of_the_superuser(local: LocalPostgres) -> None:
    assert local.sql("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user") == "postgres|t"
    assert local.sql("SELECT current_database()", "app") == "app"
    with pytest.raises(LocalPostgresError, match='relation "nothing" does not exist'):
        local.sql("SELECT * FROM nothing")


def test_sql_works_where_clients_are_refused(local: LocalPostgres, ask: Ask) -> None:
    local.set_hba("host all all all reject")
    try:
        assert local.sql("SELECT 1") == "1"
        with pytest.raises(Refused, match=r"pg_hba\.conf rejects connection"):
            ask(local)
    finally:
        local.set_hba()
    assert ask(local) == "1"


def test_a_password_is_not_in_the_error_or_the_log(local: LocalPostgres) -> None:
    with pytest.raises(LocalPostgresError) as caught:
        local.create("app", "sentinel-7c1")
    assert "already exists" in str(caught.value)
    with pytest.raises(LocalPostgresError) as worse:
        local.create("another", "sentinel-7c1", options="NONSENSE")
    for text in (str(caught.value), str(worse.value), local.log()):
        assert "sentinel-7c1" not in text


def test_passwords_are_no_arguments(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = subprocess.Popen.__init__

    def record(self: Any, args: Any, **more: Any) -> None:
        seen.extend(map(str, args))
        original(self, args, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", record)
    with LocalPostgres(chain, users={"app": "sentinel-7c1"}) as running:
        assert len(seen) > 10
        assert not [each for each in seen if "sentinel-7c1" in each or running.superuser_password in each]
        assert running.superuser_password not in running.log()


# Changing it while it runs


def test_a_new_certificate_counts_from_the_next_connection(
    local: LocalPostgres, ask: Ask, session: subprocess.Popen[str], chain: Chain
) -> None:
    local.use_chain(azure_chain(HOST))
    try:
        with pytest.raises(Refused, match="certificate verify failed"):
            ask(local)
        assert asked(session, "SELECT 'still here'") == "still here"
    finally:
        local.use_chain(chain)
    assert ask(local) == "1"


def test_a_certificate_that_is_none_is_refused(local: LocalPostgres, ask: Ask, chain: Chain) -> None:
    with pytest.raises(LocalPostgresError, match="could not load server certificate"):
        local.use_certificate("nothing", chain.key_pem)
    assert ask(local) == "1"
    local.use_chain(chain)


def test_most_settings_need_no_restart(local: LocalPostgres, ask: Ask) -> None:
    before = local.sql(STARTED)
    local.configure(ssl_max_protocol_version="TLSv1.2")
    assert ask(local, OWN_TLS) == "t|TLSv1.2"
    local.configure(ssl_max_protocol_version=None)
    assert ask(local, OWN_TLS) == "t|TLSv1.3"
    assert local.sql(STARTED) == before


def test_some_settings_do(local: LocalPostgres) -> None:
    before, port = local.sql(STARTED), local.port
    local.configure(max_connections=20)
    assert local.sql("SHOW max_connections") == "20"
    assert local.sql(STARTED) != before
    assert local.port == port
    local.configure(max_connections=50)


def test_any_value_is_taken_as_it_is(local: LocalPostgres) -> None:
    local.configure(**{"application_name": "it's a \\ test", "log_connections": True})
    assert local.sql("SELECT setting FROM pg_settings WHERE name = 'log_connections'") != "off"
    assert local.sql("SELECT reset_val FROM pg_settings WHERE name = 'application_name'") == "psql"
    assert "it''s a \\\\ test" in (local.folder / "data" / "postgresql.auto.conf").read_text()
    local.configure(application_name=None, log_connections=None)


def test_a_setting_that_is_refused(local: LocalPostgres, ask: Ask) -> None:
    with pytest.raises(LocalPostgresError, match='invalid value for parameter "work_mem": "elephant"'):
        local.configure(work_mem="elephant")
    assert ask(local) == "1"
    local.configure(work_mem=None)
    local.restart()


# Stopping it


def test_stopped_and_started(local: LocalPostgres, ask: Ask) -> None:
    port = local.port
    local.stop()
    assert not local.running
    with pytest.raises(Refused, match="Connection refused"):
        ask(local)
    # What is set meanwhile is read at the next start.
    local.configure(work_mem="3MB")
    local.start()
    local.start()
    assert ask(local, "SHOW work_mem") == "3MB"
    assert local.port == port
    local.configure(work_mem=None)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_clients_lose_their_connection(local: LocalPostgres, session: subprocess.Popen[str], mode: str) -> None:
    local.stop(mode)
    local.start()
    assert "here" not in asked(session, "SELECT 'still here'")


def test_smart_waits_for_clients(
    local: LocalPostgres, session: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_TIMEOUT", 2)
    started = time.monotonic()
    local.stop("smart")
    assert time.monotonic() - started >= 2
    assert not local.running
    monkeypatch.undo()
    local.start()


def test_killed_while_it_works(chain: Chain) -> None:
    with LocalPostgres(chain, durable=True, users={"app": APP_PASSWORD}, databases={"app": "app"}) as running:
        running.sql("CREATE TABLE kept AS SELECT 7 AS number")
        where = f"hostaddr={running.host} port={running.port} user=app dbname=app sslmode=require"
        # A backend that calculates looks neither at its client nor at the server: only a signal of its own ends it.
        busy = subprocess.Popen(
            [program(find_binaries(), "psql"), "-Xc", "SELECT count(*) FROM generate_series(1, 2000000000)", where],
            env={**os.environ, "PGPASSWORD": APP_PASSWORD},
            stderr=subprocess.DEVNULL,
        )
        working = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active'"
        while running.sql(working) != "1":
            time.sleep(0.02)
        running.kill()
        assert not running.running
        running.start()
        assert running.sql("SELECT number FROM kept") == "7"
        assert busy.wait(60) != 0


# Not starting


def test_a_server_that_does_not_start(chain: Chain) -> None:
    with pytest.raises(LocalPostgresError, match='(?s)did not start.*invalid value for parameter "work_mem"'):
        LocalPostgres(chain, settings={"work_mem": "elephant"}).__enter__()


def test_a_user_that_can_t_be_made(chain: Chain) -> None:
    with pytest.raises(LocalPostgresError, match='role name "pg_x" is reserved'):
        LocalPostgres(chain, users={"pg_x": "y"}).__enter__()


def test_outside_its_block(chain: Chain) -> None:
    never = LocalPostgres(chain)
    assert never.log() == ""
    with pytest.raises(LocalPostgresError, match="only inside its with block"):
        never.sql("SELECT 1")
    with pytest.raises(LocalPostgresError, match="only inside its with block"):
        never.start()


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_that_somebody_took(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as taken:
        ports = iter([taken, taken])
        monkeypatch.setattr(server, "free_port", lambda original=server.free_port: next(ports, None) or original())
        with LocalPostgres(chain) as running:
            assert running.port != taken
            assert running.sql("SELECT 1") == "1"


def test_its_own_port_taken_while_it_was_stopped(local: LocalPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    local.stop()
    port = local.port
    monkeypatch.setattr(server, "HELD_TIMEOUT", 0.3)
    with socket.create_server((local.host, port)), pytest.raises(LocalPostgresError, match="could not bind"):
        local.start()
    local.start()
    assert local.port == port
