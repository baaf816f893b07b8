"""Faults of name resolution under a writing load, with the resolvers that the drivers really use.

tests/connect/test_faults.py runs these, each in its own network: psycopg 3 asks through Python, psycopg2 through libpq,
and both end at the C library, which asks only the name servers in /etc/resolv.conf. pytest doesn't collect this file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.utils import OperationalError

from demo_project.localpg import Chain, LocalPostgres
from tests.support.load import Load, create_table, fresh, kept, sever, stored
from tests.support.network import NameServer
from tests.support.settings import PASSWORD, Settings, SettingsFor

logger = logging.getLogger("tests.load")

Record = Callable[[str, object], None]
ServerAt = Callable[..., LocalPostgres]


@pytest.fixture
def first(chain: Chain) -> Iterator[LocalPostgres]:
    with LocalPostgres(chain, durable=True) as running:
        yield prepared(running)


@pytest.fixture
def second(chain: Chain, first: LocalPostgres) -> Iterator[LocalPostgres]:
    """Another server with the same certificate and port, at another address."""
    server = LocalPostgres(chain, durable=True, settings={"listen_addresses": "127.0.0.2"})
    server.port = first.port
    with server as running:
        yield prepared(running)


def prepared(server: LocalPostgres) -> LocalPostgres:
    server.create("app", PASSWORD.replace("'", "''"), "app")
    create_table(server)
    return server


@pytest.fixture
def workers(first: LocalPostgres, settings_for: SettingsFor) -> list[Settings]:
    settings = settings_for(first, {"azpg": {"connect_retry_seconds": 90}})
    del settings["OPTIONS"]["hostaddr"]
    return [kept(settings)] * 2 + [fresh(settings)] * 2


def test_a_name_server_that_fails(first: LocalPostgres, workers: list[Settings], record_property: Record) -> None:
    """One second of SERVFAIL and one of silence, while nobody has a connection left."""
    with NameServer("127.0.0.1") as names, Load(workers) as load, load.fault():
        names.address = None
        sever(first)
        time.sleep(1)
        names.silent = True
        time.sleep(1)
        names.silent = False
        names.address = "127.0.0.1"
    figures = load.figures(stored(first))
    figures.check(record_property, "DNS failing for 2 s")
    assert figures.longest_request > 1.5


def test_a_name_server_that_never_answers(
    first: LocalPostgres, settings_for: SettingsFor, connect: Callable[..., Any]
) -> None:
    """The resolver gives up after 1 s here (network.py); the engine tries again, but not beyond its deadline."""
    settings = settings_for(first, {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 2}})
    del settings["OPTIONS"]["hostaddr"]
    with NameServer("127.0.0.1") as names:
        names.silent = True
        started = time.monotonic()
        with pytest.raises(OperationalError):
            connect(settings).ensure_connection()
        taken = time.monotonic() - started
        logger.info("DNS silent: %s questions, given up after %.1f s", names.asked, taken)
    assert names.asked > 1
    assert taken <= 2 + 2 + 10


def test_a_name_that_flaps(first: LocalPostgres, workers: list[Settings], record_property: Record) -> None:
    """It leads to nobody, is unknown, has a name server that fails, is unknown again, and is back."""
    with NameServer("127.0.0.1") as names, Load(workers) as load, load.fault():
        for address in ("127.0.0.3", "", None, "", "127.0.0.1"):
            names.address = address
            sever(first)
            time.sleep(0.7)
    figures = load.figures(stored(first))
    figures.check(record_property, "DNS flapping")
    # What was under way in each of three workers when its connection was cut, the last time too.
    assert figures.failed_while_down <= 6
    assert figures.longest_request > 1.5


def test_failover_to_another_address(
    first: LocalPostgres, second: LocalPostgres, workers: list[Settings], record_property: Record
) -> None:
    """The server is killed, and two seconds later its name leads to another one.

    The two share nothing here, unlike a standby and its primary: a write is lost if neither has it.
    """
    with NameServer("127.0.0.1") as names, Load(workers) as load, load.fault():
        first.kill()
        time.sleep(2)
        names.address = "127.0.0.2"
    first.start()
    figures = load.figures(stored(first, second))
    figures.check(record_property, "failover after 2 s")
    assert figures.longest_request > 1.5
    assert stored(first)
    assert stored(second)
