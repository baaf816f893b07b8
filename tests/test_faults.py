"""What is survived under a writing load, in figures: restarts, storms, silence, full servers, and forks.

Four workers write as web requests do. Whatever breaks, no acknowledged write may be lost, no request that starts once
it is over may fail, and no thread may hang. Each test notes its figures: see them with ``-o log_cli=true
--log-cli-level=INFO``.
"""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import OperationalError

from demo_project.localpg import Chain, LocalPostgres
from tests import servers
from tests.conftest import PASSWORD, SettingsFor
from tests.load import Load, create_table, fresh, kept, sever, stored
from tests.network import own_network
from tests.pgbouncer import PgBouncer, needs_pgbouncer

logger = logging.getLogger("tests.load")

Connect = Callable[..., Any]
Record = Callable[[str, object], None]

# Longer than any of the faults here.
PATIENT = {"azpg": {"connect_retry_seconds": 30}}
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the relay goes silent through Linux's packet filter")


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


def test_an_orderly_restart(target: LocalPostgres, settings_for: SettingsFor, record_property: Record) -> None:
    """As at maintenance: sessions are ended with 57P01, and newcomers are turned away until it is back."""
    settings = kept(settings_for(target, PATIENT))
    said_before = len(target.log())
    with Load([settings] * 4) as load, load.fault():
        target.stop()
        time.sleep(1)
        target.start()
    figures = load.figures(stored(target))
    figures.check(record_property, "orderly restart")
    assert figures.longest_request > 0.9
    assert "57P01" in target.log()[said_before:]


def test_a_storm_of_resets(target: LocalPostgres, settings_for: SettingsFor, record_property: Record) -> None:
    with servers.Relay(target.port) as relay:
        settings = settings_for(target, PATIENT, PORT=relay.port)
        with Load([kept(settings)] * 2 + [fresh(settings)] * 2) as load, load.fault():
            relay.storm(2)
    figures = load.figures(stored(target))
    figures.check(record_property, "resets for 2 s")
    assert figures.longest_request > 0.5


@needs_linux
def test_a_path_that_goes_silent(target: LocalPostgres, settings_for: SettingsFor, record_property: Record) -> None:
    """For 8 s nothing arrives and nothing is refused: what waits is sent again by TCP, and new connections wait."""
    with servers.Relay(target.port) as relay:
        settings = settings_for(target, PATIENT, PORT=relay.port)
        with Load([kept(settings)] * 2 + [fresh(settings)] * 2) as load, load.fault():
            relay.silence()
            time.sleep(8)
            relay.resume()
    figures = load.figures(stored(target))
    figures.check(record_property, "silent for 8 s")
    assert figures.longest_request > 7


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
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_pgbouncer_restarted(
    target: LocalPostgres, settings_for: SettingsFor, record_property: Record, how: signal.Signals
) -> None:
    with PgBouncer(target) as bouncer:
        settings = settings_for(target, PATIENT, PORT=bouncer.port, DISABLE_SERVER_SIDE_CURSORS=True)
        with Load([kept(settings)] * 2 + [fresh(settings)] * 2) as load, load.fault():
            bouncer.stop(how)
            time.sleep(1)
            bouncer.start()
    figures = load.figures(stored(target))
    figures.check(record_property, f"pgbouncer restarted after {how.name}")
    assert figures.longest_request > 0.9


@pytest.mark.parametrize("test", ["test_a_name_server_that_fails", "test_failover_to_another_address"])
def test_by_name(test: str, tmp_path: Path, record_property: Record) -> None:
    """What needs a name server of its own; see by_name.py."""
    program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "log_cli=true", "--log-cli-level=INFO"]
    done = subprocess.run(
        [*own_network(tmp_path), *program, f"tests/by_name.py::{test}"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (figures,) = re.findall(r"tests\.load:\S+ (.*)", done.stdout)
    record_property("figures", figures)
    logger.info("%s", figures)


# Dead connections are noticed


def seconds_until_failure(wrapper: Any, statement: str) -> tuple[float, str]:
    started = time.monotonic()
    with pytest.raises(OperationalError) as caught, wrapper.cursor() as cursor:
        cursor.execute(statement)
    return time.monotonic() - started, str(caught.value)


@needs_linux
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
        assert 1.5 < waited < 3
        # The next request notices, and connects anew.
        wrapper.close_if_unusable_or_obsolete()
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")


@needs_linux
@pytest.mark.parametrize(("user_timeout", "bound"), [(2000, 3), (0, 5)])
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
    3 times 1 s. With tcp_user_timeout, Linux gives up one interval after the first that is not answered if that time is
    over by then: with the engine's own values after 60 + 10 s.
    """
    options = {
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": user_timeout,
    }
    with servers.Relay(target.port) as relay:
        wrapper = connect(settings_for(target, options, PORT=relay.port))
        wrapper.ensure_connection()
        silencing = threading.Timer(0.2, relay.silence)
        silencing.start()
        waited, text = seconds_until_failure(wrapper, "SELECT pg_sleep(20)")
        silencing.join()
        record_property("given up after", round(waited, 2))
        assert "timed out" in text
        assert bound - 0.5 < waited < bound + 1.5
