"""What is survived under a writing load, in figures: restarts, storms, silence, full servers, and forks.

Four workers write as web requests do. Whatever breaks, no acknowledged write may be lost, no request that starts once
it is over may fail, and no thread may hang. Each test notes its figures: see them with ``-o log_cli=true
--log-cli-level=INFO``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.utils import OperationalError, ProgrammingError

from demo_project.localpg import Chain, LocalPostgres
from tests.support import servers
from tests.support.children import ended, forked
from tests.support.load import Figures, Load, Request, create_table, fresh, kept, sever, stored, write
from tests.support.network import own_network
from tests.support.pgbouncer import PgBouncer, needs_pgbouncer
from tests.support.settings import HOST, PASSWORD, SettingsFor

logger = logging.getLogger("tests.load")

Connect = Callable[..., Any]
Record = Callable[[str, object], None]

# Longer than any of the faults here.
PATIENT = {"azpg": {"connect_retry_seconds": 90}}


@pytest.fixture(scope="module")
def durable(chain: Chain) -> Iterator[LocalPostgres]:
    with LocalPostgres(chain, durable=True) as running:
        running.create("app", PASSWORD.replace("'", "''"), "app")
        yield running


@pytest.fixture
def target(durable: LocalPostgres) -> LocalPostgres:
    """A running server with an empty table, which a test leaves running."""
    durable.start()
    create_table(durable)
    return durable


@pytest.mark.parametrize("pool", [False, True])
def test_an_orderly_restart(
    target: LocalPostgres, settings_for: SettingsFor, connect: Connect, record_property: Record, pool: bool
) -> None:
    """As at maintenance: sessions are ended with 57P01, and newcomers are turned away until it is back."""
    settings = kept(settings_for(target, PATIENT))
    if pool:
        pytest.importorskip("psycopg_pool")
        settings = settings_for(target, {**PATIENT, "pool": True}, CONN_HEALTH_CHECKS=True)
    # Closes the pool at the end.
    connect(settings)
    said_before = len(target.log())
    with Load([settings] * 4) as load, load.fault():
        target.stop()
        time.sleep(1)
        target.start()
    figures = load.figures(stored(target))
    figures.check(record_property, "orderly restart, pool" if pool else "orderly restart")
    assert figures.longest_request > 0.9
    assert "57P01" in target.log()[said_before:]


@pytest.mark.skipif(sys.platform == "win32", reason="no shutdown() wakes a reader there")
def test_a_storm_of_resets(target: LocalPostgres, settings_for: SettingsFor, record_property: Record) -> None:
    with servers.Relay(target.port) as relay:
        settings = settings_for(target, PATIENT, PORT=relay.port)
        with Load([kept(settings)] * 2 + [fresh(settings)] * 2) as load, load.fault():
            relay.storm(2)
    figures = load.figures(stored(target))
    figures.check(record_property, "resets for 2 s")
    assert figures.longest_request > 0.5


@servers.needs_silence
def test_a_path_that_goes_silent(target: LocalPostgres, settings_for: SettingsFor, record_property: Record) -> None:
    """For 8 s nothing arrives and nothing is refused: what waits is sent again by TCP, and new connections wait."""
    with servers.Relay(target.port) as relay:
        settings = settings_for(target, PATIENT, PORT=relay.port)
        with Load([kept(settings)] * 3 + [fresh(settings)]) as load, load.fault():
            relay.silence()
            time.sleep(8)
            relay.resume()
    figures = load.figures(stored(target))
    figures.check(record_property, "silent for 8 s")
    assert figures.longest_request > 7
    # It is less than tcp_user_timeout, so that not even what was under way fails.
    assert figures.failed_while_down == 0


def test_too_many_connections(target: LocalPostgres, settings_for: SettingsFor, record_property: Record) -> None:
    """53300 for two seconds, for those who keep connections and lose them just then, and for those who don't."""
    settings = settings_for(target, PATIENT)
    with Load([kept(settings)] * 2 + [fresh(settings)] * 2) as load, load.fault():
        target.sql("ALTER ROLE app CONNECTION LIMIT 0")
        sever(target)
        time.sleep(2)
        target.sql("ALTER ROLE app CONNECTION LIMIT -1")
    figures = load.figures(stored(target))
    figures.check(record_property, "53300 for 2 s")
    assert figures.longest_request > 1.5


@needs_pgbouncer
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_pgbouncer_restarted(
    target: LocalPostgres, settings_for: SettingsFor, record_property: Record, how: str
) -> None:
    with PgBouncer(target) as bouncer:
        settings = settings_for(target, PATIENT, PORT=bouncer.port, DISABLE_SERVER_SIDE_CURSORS=True)
        with Load([kept(settings)] * 2 + [fresh(settings)] * 2) as load, load.fault():
            bouncer.stop(signal.Signals[how])
            time.sleep(1)
            bouncer.start()
    figures = load.figures(stored(target))
    figures.check(record_property, f"pgbouncer restarted after {how}")
    assert figures.longest_request > 0.9


@needs_pgbouncer
@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("pool", [False, True])
def test_the_server_behind_pgbouncer_restarted(
    target: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    record_property: Record,
    how: str,
    pool: bool,
) -> None:
    """PgBouncer lets clients in meanwhile, and ends them at their first query; so a login alone is no way back."""
    with PgBouncer(target, settings="server_login_retry = 1\n") as bouncer:
        settings = settings_for(target, PATIENT, PORT=bouncer.port, DISABLE_SERVER_SIDE_CURSORS=True)
        settings = kept(settings)
        if pool:
            pytest.importorskip("psycopg_pool")
            pooled = {**settings["OPTIONS"], "pool": {"min_size": 2, "max_size": 4}}
            settings = {**settings, "OPTIONS": pooled, "CONN_MAX_AGE": 0}
        # Closes the pool at the end.
        connect(settings)
        with Load([settings] * 4) as load, load.fault():
            getattr(target, how)()
            time.sleep(1)
            target.start()
    figures = load.figures(stored(target))
    figures.check(record_property, f"server behind pgbouncer, {how}")
    # What was under way when it began; the pool's other connections are found dead in their turn.
    assert figures.failed_while_down <= 8


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    "test",
    [
        "test_a_name_server_that_fails",
        "test_a_name_server_that_never_answers",
        "test_a_name_that_flaps",
        "test_failover_to_another_address",
    ],
)
def test_by_name(test: str, tmp_path: Path, record_property: Record) -> None:
    """What needs a name server of its own; see tests/support/by_name.py."""
    program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "log_cli=true", "--log-cli-level=INFO"]
    done = subprocess.run(
        [*own_network(tmp_path), *program, f"tests/support/by_name.py::{test}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (figures,) = re.findall(r"tests\.load:\S+ (.*)", done.stdout)
    record_property("figures", figures)
    logger.info("%s", figures)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("whose", ["own", "inherited", "inherited pool"])
def test_a_fork_after_connecting(
    target: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    record_property: Record,
    tmp_path: Path,
    whose: str,
) -> None:
    """As with gunicorn --preload and Celery's prefork, where something has used the database before the fork.

    Three children and their parent write at once. A child has a wrapper of its own, or goes on with the inherited one,
    as Django's connections do.
    """
    if whose == "inherited pool":
        pytest.importorskip("psycopg_pool")
        parent = connect(settings_for(target, {**PATIENT, "pool": True}))
    else:
        parent = connect(kept(settings_for(target, PATIENT)))

    def write_some(wrapper: Any, first: int) -> list[Request]:
        return [write(wrapper, number) for number in range(first, first + 100)]

    def be_child(number: int) -> None:
        wrapper = connect(parent.settings_dict) if whose == "own" else parent
        requests = write_some(wrapper, number * 1000)
        (tmp_path / str(number)).write_text(json.dumps([dataclasses.astuple(each) for each in requests]))

    requests = [write(parent, 1)]
    children = [forked(functools.partial(be_child, number)) for number in (1, 2, 3)]
    requests += write_some(parent, 10)
    end = time.monotonic() + 60
    hung = [child for child in children if not ended(child, end)]
    requests += write_some(parent, 5000)
    for path in tmp_path.iterdir():
        requests += [Request(*each) for each in json.loads(path.read_text())]
    acknowledged = {each.number for each in requests if each.error is None}
    figures = Figures(
        acknowledged=len(acknowledged),
        lost=len(acknowledged - stored(target)),
        failed_while_down=0,
        failed_after_return=[each.error for each in requests if each.error is not None],
        hung=len(hung),
        longest_request=round(max(each.ended - each.started for each in requests), 2),
        back_after=0.0,
    )
    figures.check(record_property, f"fork, {whose} connection")
    assert len(requests) == 1 + 5 * 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_transaction_does_not_go_on_in_a_child(
    target: LocalPostgres, settings_for: SettingsFor, databases: Callable[..., None], tmp_path: Path
) -> None:
    """The child has no part in it, and must not write outside of it either."""
    databases(default=settings_for(target))

    def insert(number: int) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("INSERT INTO written VALUES (%s)", [number])

    def be_child() -> None:
        with pytest.raises(ProgrammingError, match="in an atomic block"):
            insert(2)
        (tmp_path / "refused").touch()

    with transaction.atomic():
        insert(1)
        assert ended(forked(be_child), time.monotonic() + 60)
        insert(3)
    assert (tmp_path / "refused").exists()
    assert stored(target) == {1, 3}


# Dead connections are noticed


def seconds_until_failure(wrapper: Any, statement: str) -> tuple[float, str]:
    started = time.monotonic()
    with pytest.raises(OperationalError) as caught, wrapper.cursor() as cursor:
        cursor.execute(statement)
    return time.monotonic() - started, str(caught.value)


@servers.needs_silence
def test_a_half_open_connection_that_sends_is_given_up(
    target: LocalPostgres, settings_for: SettingsFor, connect: Connect, record_property: Record
) -> None:
    """After tcp_user_timeout, here 2 s: the health check can't know yet, and the query is never acknowledged."""
    with servers.Relay(target.port) as relay:
        wrapper = connect(kept(settings_for(target, {"tcp_user_timeout": 2000}, PORT=relay.port)))
        wrapper.ensure_connection()
        relay.silence()
        wrapper.close_if_unusable_or_obsolete()
        assert wrapper.is_usable()
        waited, text = seconds_until_failure(wrapper, "SELECT 1")
        relay.resume()
        record_property("given up after", round(waited, 2))
        assert "timed out" in text
        # Without it: after the keepalives, 110 s.
        assert 1.5 < waited < 15
        # The next request notices, and connects anew.
        wrapper.close_if_unusable_or_obsolete()
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")


@servers.needs_silence
@pytest.mark.parametrize(("user_timeout", "bound"), [(2000, 4), (0, 8)])
def test_a_half_open_connection_that_waits_is_given_up(
    target: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    record_property: Record,
    user_timeout: int,
    bound: float,
) -> None:
    """While the server works on a query, only the keepalives can tell.

    The first goes out after keepalives_idle, here 2 s, and the connection ends keepalives_count intervals later, here
    3 times 2 s. With tcp_user_timeout, Linux gives up one interval after the first that is not answered if that time is
    over by then: with the engine's own values after 60 + 10 s.
    """
    options = {
        "keepalives_idle": 2,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": user_timeout,
    }
    with servers.Relay(target.port) as relay:
        wrapper = connect(settings_for(target, options, PORT=relay.port))
        wrapper.ensure_connection()
        silencing = threading.Timer(0.2, relay.silence)
        silencing.start()
        waited, text = seconds_until_failure(wrapper, "SELECT pg_sleep(60)")
        silencing.join()
        record_property("given up after", round(waited, 2))
        assert "timed out" in text
        assert bound - 0.5 < waited < bound + 3.5


def test_connect_timeout_is_each_host_s(
    target: LocalPostgres, settings_for: SettingsFor, connect: Connect, record_property: Record
) -> None:
    """Of three hosts, one drops packets and one accepts and says nothing: the third is reached after two timeouts."""
    with servers.unanswering() as dropping, servers.listening(servers.silent) as mute:
        ports = f"{dropping},{mute},{target.port}"
        addresses = ",".join([target.host] * 3)
        options = {"connect_timeout": 2, "hostaddr": addresses}
        wrapper = connect(settings_for(target, options, HOST=",".join([HOST] * 3), PORT=ports))
        started = time.monotonic()
        wrapper.ensure_connection()
        waited = time.monotonic() - started
        record_property("third host reached after", round(waited, 2))
        assert wrapper.connection.info.port == target.port
        assert 3.5 < waited < 8


@pytest.mark.skipif(sys.platform != "linux", reason="has Linux's names of socket options")
def test_the_kernel_is_told_how_to_notice(target: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    """The bounds in real operation, which last too long to wait for here: 18 s, and 10 + 5 * 2 s."""
    wrapper = connect(settings_for(target))
    wrapper.ensure_connection()
    with socket.socket(fileno=os.dup(wrapper.connection.fileno())) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
        assert [connection.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [10, 2, 5, 18_000]
