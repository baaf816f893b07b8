"""Outages as a site sees them: short ones, long ones, one server of two, and ends that stay silent."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError

from azpg_backend.connect import servers as known_servers
from azpg_backend.plan import libpq
from demo_project.localpg import Chain, LocalPostgres
from demo_project.localpg.server import free_port
from tests.support import servers
from tests.support.load import Load, Request, create_table, kept, stored, write
from tests.support.settings import HOST, PASSWORD, Settings, SettingsFor

Connect = Callable[..., Any]
Record = Callable[[str, object], None]

# The engine's own.
DEFAULT: Settings = {"azpg": {}}
# A busy machine starts a server late.
PATIENT: Settings = {"azpg": {"connect_retry_seconds": 30}}
needs_pool = pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
needs_direct = pytest.mark.skipif(libpq.version() < 170000, reason="sslnegotiation is new in libpq 17")


def in_threads(number: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=[each], daemon=True) for each in range(number)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)


def on_wrappers(connect: Connect, settings: Settings, number: int) -> list[Any]:
    wrappers = [connect(settings, f"{settings['PORT']}") for _ in range(number)]
    for each in wrappers:
        each.inc_thread_sharing()
    return wrappers


@needs_pool
def test_a_pool_survives_a_short_restart(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, record_property: Record
) -> None:
    """Six idle connections die at once; psycopg_pool alone sleeps after each that it finds."""
    create_table(own_server)
    options = {**DEFAULT, "pool": {"min_size": 6, "max_size": 6}}
    settings = settings_for(own_server, options, CONN_HEALTH_CHECKS=True)
    wrappers = on_wrappers(connect, settings, 4)
    wrappers[0].ensure_connection()
    wrappers[0].close()
    wrappers[0].pool.wait(30)
    requests: list[Request] = []
    began = time.monotonic()
    own_server.stop()
    down = threading.Timer(max(0.0, 0.2 - (time.monotonic() - began)), own_server.start)
    down.start()

    def work(worker: int) -> None:
        for number in range(5):
            requests.append(write(wrappers[worker], worker * 100 + number))

    in_threads(4, work)
    down.join()
    outage = time.monotonic() - began
    longest = max(each.ended - each.started for each in requests)
    record_property("longest", round(longest, 2))
    assert [each.error for each in requests if each.error] == []
    # benchmarks.outage holds it to a second; the pool alone would wait for 30.
    assert longest <= outage + 10


@pytest.mark.server
@pytest.mark.slow
def test_a_kill_and_three_seconds(chain: Chain, settings_for: SettingsFor, record_property: Record) -> None:
    """What was under way when the server died can't be saved."""
    with LocalPostgres(chain, durable=True) as server:
        server.create("app", PASSWORD.replace("'", "''"), "app")
        create_table(server)
        settings = kept(settings_for(server, PATIENT))
        with Load([settings] * 4) as load, load.fault():
            began = time.monotonic()
            server.kill()
            time.sleep(max(0.0, 3 - (time.monotonic() - began)))
            server.start()
            outage = time.monotonic() - began
        figures = load.figures(stored(server))
    figures.check(record_property, "SIGKILL and 3 s")
    assert figures.longest_request <= outage + 5
    # One for each of the three workers that write at that moment.
    assert figures.failed_while_down <= 3
    assert figures.back_after < 10


def test_40_requests_of_new_connections_outlast_three_seconds(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    create_table(own_server)
    wrappers = on_wrappers(connect, settings_for(own_server, PATIENT), 40)
    own_server.stop()
    requests: list[Request] = []
    starting = threading.Timer(3, own_server.start)
    starting.start()
    in_threads(40, lambda number: requests.append(write(wrappers[number], number)))
    starting.join()
    assert [each.error for each in requests] == [None] * 40


def test_a_server_that_is_down_costs_the_requests_to_another_nothing(
    own_server: LocalPostgres,
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    record_property: Record,
) -> None:
    """Four workers; each request asks one of two databases, in turn. Once the outage is known, nobody waits for it."""
    good = on_wrappers(connect, kept(settings_for(server, DEFAULT)), 4)
    bad = on_wrappers(connect, kept(settings_for(own_server, {"azpg": {"connect_retry_seconds": 2}})), 4)

    def ask(wrapper: Any) -> float:
        started = time.monotonic()
        wrapper.close_if_unusable_or_obsolete()
        try:
            with wrapper.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.02)")
        except OperationalError:
            wrapper.close()
        return time.monotonic() - started

    def seconds(numbers: int = 40) -> tuple[list[float], float]:
        taken: list[float] = []
        started = time.monotonic()

        def work(worker: int) -> None:
            for number in range(numbers):
                if number % 2:
                    ask(bad[worker])
                else:
                    taken.append(ask(good[worker]))

        in_threads(4, work)
        return taken, time.monotonic() - started

    seconds(4)
    before, all_before = seconds()
    own_server.stop()
    # The outage is found, and waited for while it is young.
    ask(bad[0])
    after, all_after = seconds()
    figures = [round(statistics.median(each) * 1000, 2) for each in (before, after)]
    record_property("median ms, before and during", figures)
    record_property("all, before and during", (round(all_before, 2), round(all_after, 2)))
    # Each of the 20 requests of a worker to the other database would wait for 2 s.
    assert all_after < all_before + 20


@servers.needs_silence
@pytest.mark.parametrize("pooled", [False, pytest.param(True, marks=needs_pool)])
def test_flows_that_vanish_while_new_ones_work(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, pooled: bool
) -> None:
    """A rest longer than ASK_AFTER_IDLE is enough for the request to be served, once TCP has given up."""
    options = {**DEFAULT, "tcp_user_timeout": 2000}
    with servers.Relay(server.port) as relay:
        settings = kept(settings_for(server, options, PORT=relay.port))
        if pooled:
            settings = settings_for(
                server, {**options, "pool": {"min_size": 1}}, PORT=relay.port, CONN_HEALTH_CHECKS=True
            )
        wrapper = connect(settings)
        assert one(wrapper) == 1
        wrapper.close_if_unusable_or_obsolete()
        relay.silence_flows()
        time.sleep(1.1)
        wrapper.close_if_unusable_or_obsolete()
        assert one(wrapper) == 1
        wrapper.close()
        if pooled:
            wrapper.close_pool()


def one(wrapper: Any) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        answer: int = cursor.fetchone()[0]
        return answer


@servers.needs_silence
@pytest.mark.slow
def test_a_half_open_path_is_given_up_within_20_s(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, record_property: Record
) -> None:
    """With the engine's own limits, while a query waits for its answer and while one is sent."""
    with servers.Relay(server.port) as relay:
        wrappers = on_wrappers(connect, kept(settings_for(server, DEFAULT, PORT=relay.port)), 2)
        for each in wrappers:
            one(each)
        taken: dict[int, float] = {}

        def work(number: int) -> None:
            started = time.monotonic()
            with pytest.raises(OperationalError), wrappers[number].cursor() as cursor:
                if number:
                    time.sleep(0.5)
                    started = time.monotonic()
                cursor.execute("SELECT pg_sleep(60)")
            taken[number] = time.monotonic() - started

        silencing = threading.Timer(0.3, relay.silence_flows)
        silencing.start()
        in_threads(2, work)
        record_property("given up after, waiting and sending", [round(each, 1) for each in taken.values()])
        assert len(taken) == 2
        assert max(taken.values()) <= 28
        for each in wrappers:
            each.close_if_unusable_or_obsolete()
            assert one(each) == 1


@servers.needs_silence
@pytest.mark.slow
def test_a_pause_of_15_s_is_survived(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    with servers.Relay(server.port) as relay:
        wrapper = connect(kept(settings_for(server, DEFAULT, PORT=relay.port)))
        assert one(wrapper) == 1
        resuming = threading.Timer(15, relay.resume)
        relay.silence()
        resuming.start()
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 2")
            assert cursor.fetchone() == (2,)
        resuming.join()
        wrapper.close()


@needs_direct
@pytest.mark.slow
def test_slow_logins_are_made_once(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    """The first is quick and the others take 4 s: no login is made again because it was slow."""
    visitors: list[int] = []

    def behave(visitor: socket.socket) -> None:
        visitors.append(visitor.recv(1, socket.MSG_PEEK)[0])
        time.sleep(4 if len(visitors) > 1 else 0)
        servers.carry(visitor, server.port)

    with servers.listening(behave) as port:
        settings = settings_for(server, {**DEFAULT, "connect_timeout": 30}, PORT=port)
        for _ in range(3):
            wrapper = connect(settings)
            assert one(wrapper) == 1
            wrapper.close()
    assert visitors == [0, 22, 22]


@needs_direct
def test_of_two_servers_the_first_is_used_again_after_its_outage(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A can't start with TLS at once and B can: libpq would pass A over for the life of the process."""
    monkeypatch.setattr(known_servers, "FIRST_ATTEMPT", 0.0)

    def first(visitor: socket.socket) -> None:
        if visitor.recv(1, socket.MSG_PEEK)[0] != 22:
            servers.carry(visitor, server.port)

    def second(visitor: socket.socket) -> None:
        servers.carry(visitor, server.port)

    with servers.listening(second) as b:
        a = free_port()
        options = {**DEFAULT, "hostaddr": "127.0.0.1,127.0.0.1"}
        settings = settings_for(server, options, PORT=f"{a},{b}", HOST=f"{HOST},{HOST}")

        def port() -> int:
            wrapper = connect(settings)
            wrapper.ensure_connection()
            found = int(wrapper.connection.info.port)
            wrapper.close()
            return found

        for _ in range(2):
            with socket.create_server(("127.0.0.1", a)) as listener, servers.serving(listener, first):
                assert [port() for _ in range(3)] == [a, a, a]
            assert [port() for _ in range(3)] == [b, b, b]


def test_a_server_that_can_not_fork_is_waited_for(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    """It answers the request for TLS with an error in the oldest format, and hangs up."""
    failing = [True] * 3

    def behave(visitor: socket.socket) -> None:
        if failing:
            failing.pop()
            servers.request(visitor)
            visitor.sendall(b"Ecould not fork new process for connection: Cannot allocate memory\n\0")
            return
        servers.carry(visitor, server.port)

    with servers.listening(behave) as port:
        assert one(connect(settings_for(server, DEFAULT, PORT=port))) == 1
    assert failing == []


SILENCES = {
    "nobody accepts": servers.unanswering,
    "no answer to the request": lambda: servers.listening(servers.silent),
    "no answer to the login": lambda: servers.listening(servers.answering(b"S")),
}


@pytest.mark.slow
@pytest.mark.parametrize("silence", SILENCES)
def test_one_deadline_bounds_a_connect(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, silence: str
) -> None:
    """connect_timeout for each host, and connect_retry_seconds."""
    with SILENCES[silence]() as port:
        settings = settings_for(server, {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 3}}, PORT=port)
        started = time.monotonic()
        with pytest.raises(OperationalError):
            one(connect(settings))
        assert time.monotonic() - started <= 2 + 3 + 10
