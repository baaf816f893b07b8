"""What a request that waits for a pool's connection is told, at once if waiting can't help."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError

from demo_project.localpg import LocalPostgres, azure_chain
from tests.support import servers
from tests.support.settings import HOST, Settings, SettingsFor
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")

Connect = Callable[..., Any]


def pooled(settings: Settings, **pool: Any) -> Settings:
    options = {**settings["OPTIONS"], "azpg": {}, "pool": {"min_size": 1, "max_size": 2, **pool}}
    return {**settings, "OPTIONS": options, "CONN_HEALTH_CHECKS": True}


@pytest.fixture
def wrapper_of(connect: Connect) -> Iterator[Callable[[Settings], Any]]:
    yield lambda settings: connect(settings, "pooled")


def seconds_until(wrapper: Any, said: str) -> float:
    started = time.monotonic()
    with pytest.raises(OperationalError, match=said):
        wrapper.ensure_connection()
    return time.monotonic() - started


def test_a_wrong_password_is_raised_at_once(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    wrapper = wrapper_of(pooled(settings_for(server, PASSWORD="not this one")))
    assert seconds_until(wrapper, "password authentication failed") < 20
    assert seconds_until(wrapper, "password authentication failed") < 20


def test_a_wrong_certificate_is_raised_at_once(
    own_server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    own_server.use_chain(azure_chain(HOST))
    assert seconds_until(wrapper_of(pooled(settings_for(own_server))), "certificate verify failed") < 20


def test_exhaustion_is_named_with_figures(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    wrapper = wrapper_of(pooled(settings_for(server), timeout=1.0))
    wrapper.ensure_connection()
    second = wrapper.pool.getconn()
    other = wrapper_of(wrapper.settings_dict)
    seconds_until(other, r"2 of the pool's at most 2 connections are in use, and 0 other requests(.|\n)*max_size")
    wrapper.pool.putconn(second)


def test_the_check_of_a_busy_pool_costs_no_round_trip(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    wrapper = wrapper_of(pooled(settings_for(server)))
    wrapper.ensure_connection()
    wrapper.close()
    asked: list[Any] = []
    wrapper.pool.check_connection = asked.append
    wrapper.ensure_connection()
    wrapper.close()
    assert asked == []


def test_an_interrupted_check_gives_the_connection_back(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    """As by an application server's time limit."""
    wrapper = wrapper_of(pooled(settings_for(server), max_size=1, timeout=5))
    wrapper.ensure_connection()
    wrapper.close()

    def interrupt(connection: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wrapper.pool, "_works", interrupt)
        with pytest.raises(KeyboardInterrupt):
            wrapper.ensure_connection()
    wrapper.ensure_connection()
    wrapper.close()


def test_one_outage_drains_the_pool_once(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    """Not once for each request that notices, which would throw away what was just made."""
    wrapper = wrapper_of(pooled(settings_for(server), min_size=2, max_size=2))
    wrapper.ensure_connection()
    wrapper.close()
    pool = wrapper.pool
    drained: list[str] = []
    pool.drain = lambda: drained.append("drained")
    both = [pool.getconn(), pool.getconn()]
    for each in both:
        pool._drop_others(each)
    assert drained == ["drained"]
    # What was made after that is stale only after another outage.
    both[0].made_at = time.monotonic()
    pool._drop_others(both[0])
    assert len(drained) == 2
    for each in both:
        pool.putconn(each)


@pytest.mark.parametrize(("silent", "retry"), [(False, 60), (True, 0.5)])
def test_closing_does_not_wait_for_workers_that_wait(
    settings_for: SettingsFor, server: LocalPostgres, wrapper_of: Callable[[Settings], Any], silent: bool, retry: float
) -> None:
    """Neither for the end of an outage, nor for an attempt that gets no answer: psycopg_pool would take its 5 s."""
    with servers.listening(servers.silent if silent else servers.closing) as port:
        settings = pooled(settings_for(server, PORT=port), timeout=2.5)
        settings["OPTIONS"] |= {"azpg": {"connect_retry_seconds": retry}, "connect_timeout": 2}
        wrapper = wrapper_of(settings)
        seconds_until(wrapper, "timeout expired|closed the connection|couldn't get a connection")
        pool = wrapper.pool
        workers = list(pool._workers)
        started = time.monotonic()
        wrapper.close_pool()
        assert time.monotonic() - started < 4
        for each in workers:
            each.join(30)
            assert not each.is_alive()


def test_the_user_s_own_class_of_connections_is_used(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    from psycopg import Connection

    class Own(Connection[Any]):
        pass

    wrapper = wrapper_of(pooled(settings_for(server), connection_class=Own))
    wrapper.ensure_connection()
    assert isinstance(wrapper.connection, Own)
    wrapper.close()


def test_a_request_keeps_its_place_in_the_queue(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    """First come, first served, however long that takes; and one that waits counts once for max_waiting."""

    def slowly(visitor: socket.socket) -> None:
        time.sleep(1)
        servers.carry(visitor, server.port)

    with servers.listening(slowly) as slow:
        settings = pooled(settings_for(server, PORT=slow), max_size=1, max_waiting=2, timeout=60)
        wrapper = wrapper_of(settings)
        # Logging in takes as long as many looks.
        wrapper.ensure_connection()
        wrapper.inc_thread_sharing()
        pool = wrapper.pool
        served: list[int] = []

        def wait(number: int) -> None:
            connection = pool.getconn()
            served.append(number)
            pool.putconn(connection)

        waiting = [threading.Thread(target=wait, args=[number]) for number in range(2)]
        for number, each in enumerate(waiting, 1):
            each.start()
            until(lambda: pool.get_stats()["requests_waiting"] == number)  # noqa: B023
        seconds_until(wrapper_of(settings), "already 2 requests")
        time.sleep(0.5)
        assert pool.get_stats()["requests_waiting"] == 2
        wrapper.close()
        for each in waiting:
            each.join(60)
        assert served == [0, 1]


def test_who_was_told_of_a_failure_waits_no_longer(
    server: LocalPostgres, settings_for: SettingsFor, wrapper_of: Callable[[Settings], Any]
) -> None:
    """Also for max_waiting, which would refuse the next with other words."""
    wrapper = wrapper_of(pooled(settings_for(server, PASSWORD="not this one"), max_waiting=1, timeout=60))
    for _ in range(3):
        assert seconds_until(wrapper, "^connection failed(.|\n)*password authentication failed") < 20
    assert wrapper.pool.get_stats().get("requests_waiting", 0) == 0
