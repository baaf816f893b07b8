"""Outages as a site sees them: short ones, long ones, one server of two, and ends that stay silent."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import OperationalError

from azpg_backend.connect import servers as known_servers
from azpg_backend.plan import libpq
from demo_project.localpg import Chain, LocalPostgres
from demo_project.localpg.server import free_port
from tests.support import servers
from tests.support.children import ended, forked
from tests.support.load import Load, Request, create_table, kept, stored, write
from tests.support.pool import needs_pool
from tests.support.settings import HOST, PASSWORD, Settings, SettingsFor
from tests.support.waiting import LIMIT, until

Connect = Callable[..., Any]
Record = Callable[[str, object], None]

# The engine's own.
DEFAULT: Settings = {"azpg": {}}
# A busy machine starts a server late.
PATIENT: Settings = {"azpg": {"connect_retry_seconds": 30}}
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


# The beginning of a TLS record that promises a ServerHello and breaks off.
HALF_A_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"
# Fifty bytes of a refusal, one every 0.4 s: something happens all the time.
DRIPPING = servers.dripping(servers.error_response("x" * 50), 0.4)


def after_tls(chain: Chain, then: servers.Behaviour) -> contextlib.AbstractContextManager[int]:
    return servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem, then=then))


SILENCES: dict[str, Callable[[Chain], contextlib.AbstractContextManager[int]]] = {
    "packets are dropped": lambda chain: servers.unanswering(),
    "accepts and says nothing": lambda chain: servers.listening(servers.silent),
    "agrees to TLS and says no more": lambda chain: servers.listening(servers.answering(b"S")),
    "breaks off in the handshake": lambda chain: servers.listening(servers.answering(b"S", HALF_A_HELLO)),
    "says nothing after TLS": lambda chain: after_tls(chain, servers.silent),
    "logs in drop by drop": lambda chain: after_tls(chain, DRIPPING),
}
# More than any of them should take, and less than none is bounded by.
SHORT: Settings = {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 1}}


def seconds_to_fail(wrapper: Any) -> float:
    started = time.monotonic()
    with pytest.raises(OperationalError):
        one(wrapper)
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize(
    ("silence", "pooled"),
    [*((each, False) for each in SILENCES), pytest.param("says nothing after TLS", True, marks=needs_pool)],
)
def test_one_deadline_bounds_a_connect(
    chain: Chain, server: LocalPostgres, settings_for: SettingsFor, connect: Connect, silence: str, pooled: bool
) -> None:
    """connect_timeout for each host, and connect_retry_seconds. A pool's workers connect in the same way."""
    with SILENCES[silence](chain) as port:
        options = {**SHORT, "pool": {"min_size": 1}} if pooled else SHORT
        wrapper = connect(settings_for(server, options, PORT=port), "silent")
        assert seconds_to_fail(wrapper) <= 2 + 1 + 10


@pytest.mark.slow
def test_one_deadline_bounds_two_silent_hosts(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    with servers.listening(servers.silent) as mute, servers.unanswering() as dropping:
        options = {**SHORT, "hostaddr": "127.0.0.1,127.0.0.1"}
        settings = settings_for(server, options, PORT=f"{mute},{dropping}", HOST=f"{HOST},{HOST}")
        assert seconds_to_fail(connect(settings)) <= 2 * 2 + 1 + 10


@needs_direct
@pytest.mark.slow
@pytest.mark.parametrize("ordinary", [True, False])
def test_one_deadline_bounds_a_direct_start(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, ordinary: bool
) -> None:
    """An end that falls silent when TLS starts at once: the ordinary way is tried in what is left of the time."""
    visitors: list[int] = []

    def behave(visitor: socket.socket) -> None:
        first = visitor.recv(1, socket.MSG_PEEK)[0]
        visitors.append(first)
        if first == 0 and (ordinary or len(visitors) == 1):
            servers.carry(visitor, server.port)
        else:
            servers.silent(visitor)

    with servers.listening(behave) as port:
        settings = settings_for(server, {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 4}}, PORT=port)
        assert one(connect(settings)) == 1
        started = time.monotonic()
        if ordinary:
            assert one(connect(settings, "again")) == 1
        else:
            assert seconds_to_fail(connect(settings, "again"))
        assert time.monotonic() - started <= 2 + 4 + 10
    assert visitors[:3] == [0, 22, 0]


@pytest.mark.slow
def test_a_silent_server_that_is_back_elsewhere_is_found_after_one_connect_timeout(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    """The one who looks began before the name moved, and hears nothing; nobody else looks meanwhile."""
    moved = threading.Event()
    visitors: list[bool] = []

    def behave(visitor: socket.socket) -> None:
        visitors.append(moved.is_set())
        servers.carry(visitor, server.port) if moved.is_set() else servers.silent(visitor)

    with servers.listening(behave) as port:
        settings = settings_for(server, {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 0.1}}, PORT=port)
        first, looking, other = on_wrappers(connect, settings, 3)
        assert seconds_to_fail(first)
        time.sleep(0.3)
        look = threading.Thread(target=seconds_to_fail, args=[looking])
        look.start()
        until(lambda: len(visitors) == 2)
        moved.set()
        started = time.monotonic()
        while not _gets_in(other):
            time.sleep(0.02)
        assert time.monotonic() - started <= 2 + 5
        look.join()
    assert visitors == [False, False, True]


@pytest.mark.slow
def test_a_connect_that_timed_out_leaves_no_socket_open(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    """psycopg 3 leaves it to the garbage collector, which an idle process runs after minutes."""
    gone = threading.Event()

    def behave(visitor: socket.socket) -> None:
        servers.silent(visitor)
        gone.set()

    gc.disable()
    try:
        with servers.listening(behave) as port:
            options = {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 0}}
            assert seconds_to_fail(connect(settings_for(server, options, PORT=port)))
            assert gone.wait(LIMIT)
    finally:
        gc.enable()


def _gets_in(wrapper: Any) -> bool:
    try:
        return one(wrapper) == 1
    except OperationalError:
        return False


# A herd


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize(("processes", "threads"), [(1, 32), (8, 4)])
def test_a_server_that_is_back_is_found_at_once_and_not_stormed(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    record_property: Record,
    tmp_path: Path,
    processes: int,
    threads: int,
) -> None:
    """In each process one thread at a time looks while the server is away; once it is back, all get in."""
    knocks: list[float] = []
    back: list[float] = []

    def behave(visitor: socket.socket) -> None:
        knocks.append(time.monotonic())
        if back:
            servers.carry(visitor, server.port)
        else:
            servers.reset(visitor)

    def be_child(child: int) -> None:
        wrappers = on_wrappers(connect, settings, threads)
        got_in: list[float] = []

        def work(number: int) -> None:
            assert one(wrappers[number]) == 1
            got_in.append(time.monotonic())
            wrappers[number].close()

        in_threads(threads, work)
        (tmp_path / str(child)).write_text(json.dumps(got_in))

    with servers.listening(behave) as port:
        settings = settings_for(server, PATIENT, PORT=port)
        children = [forked(functools.partial(be_child, number)) for number in range(processes)]
        until(lambda: knocks)
        time.sleep(2.5)
        back.append(time.monotonic())
        assert all(ended(child, time.monotonic() + 60) for child in children)
    first = [time_in for path in tmp_path.iterdir() for time_in in json.loads(path.read_text())]
    assert len(first) == processes * threads
    before = sum(knock < back[0] for knock in knocks)
    for name, seconds in {"first in after": min(first), "all in after": max(first)}.items():
        record_property(name, round(seconds - back[0], 2))
    record_property("attempts before", before)
    # Each thread may have begun before the outage was known; then one in each process every 0.05 s, mostly 0.3 s.
    assert before <= processes * threads + processes * (back[0] - knocks[0]) / 0.05
    # The longest pause is 0.4 s; the rest is for a busy machine.
    assert min(first) - back[0] <= 5
