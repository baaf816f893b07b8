"""Restarts, cut connections and full servers: what is survived, how fast, and what is never tried again."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.utils import DatabaseError, InterfaceError, OperationalError

from azpg_backend.connect import health, ways
from azpg_backend.connect import servers as known_servers
from azpg_backend.connect.backoff import Backoff
from azpg_backend.connect.failure import Failure
from azpg_backend.connect.opening import Door
from azpg_backend.plan import decision, libpq
from azpg_backend.process import memory
from demo_project.localpg import Chain, LocalPostgres
from tests.support import servers
from tests.support.drivers import Driver, Quiet
from tests.support.load import Load, create_table, kept, stored
from tests.support.pool import needs_pool
from tests.support.settings import HOST, PASSWORD, Settings, SettingsFor
from tests.support.waiting import until_readable

Connect = Callable[..., Any]


def retrying(settings: Settings, seconds: float) -> Settings:
    return {**settings, "OPTIONS": {**settings["OPTIONS"], "azpg": {"connect_retry_seconds": seconds}}}


def one(wrapper: Any) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        answer: int = cursor.fetchone()[0]
        return answer


# When and how often


def attempts(text: str, seconds: float, succeed_after: int = 1000) -> tuple[int, list[float], bool]:
    """Count the tries and collect the pauses against a clock that only waiting moves."""
    now, tries, pauses = [0.0], [0], []

    def attempt(**params: Any) -> Any:
        tries[0] += 1
        if tries[0] > succeed_after:
            return Quiet()
        raise Driver.OperationalError(text)

    def sleep(pause: float) -> None:
        pauses.append(pause)
        now[0] += pause

    settings = {"NAME": "app", "USER": "app", "HOST": HOST, "OPTIONS": {"azpg": {"connect_retry_seconds": seconds}}}
    plan = decision.decide("default", settings, environ={})
    door = Door(plan, attempt, Driver, clock=lambda: now[0], sleep=sleep)
    memory.forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Condition, "wait", lambda self, timeout=None: sleep(timeout or 0.0))
        found = door.open({})
    return tries[0], pauses, not isinstance(found, Failure)


AT = "connection to server at"
REFUSED = "Connection refused"
WRONG = 'port 5432 failed: FATAL:  password authentication failed for user "app"'
# As psycopg2 and psycopg 3 say it, of a pooler that restarts and the server beside it.
TWO_PORTS = (
    f'{AT} "127.0.0.1", port 6432 failed: Connection refused\n{AT} "127.0.0.1", {WRONG}',
    f'{AT} "h" (127.0.0.1), {WRONG}\n{AT} "h" (127.0.0.1), port 6432 failed: Connection refused',
    f"""connection failed: {AT} "127.0.0.1", {WRONG}
Multiple connection attempts failed. All failures were:
- host: 'h', port: '6432', hostaddr: '127.0.0.1': connection failed: {AT} "127.0.0.1", port 6432 failed: {REFUSED}
- host: 'h', port: '5432', hostaddr: '127.0.0.1': connection failed: {AT} "127.0.0.1", {WRONG}""",
)


@pytest.mark.parametrize(
    "text",
    [
        "connection to server failed: Connection refused",
        "FATAL:  the database system is starting up",
        "FATAL:  the database system is shutting down",
        "FATAL:  sorry, too many clients already",
        "server closed the connection unexpectedly",
        "SSL SYSCALL error: Connection reset by peer",
        'could not translate host name "h" to address: Temporary failure in name resolution',
        "failed to resolve host 'h': [Errno -3] Temporary failure in name resolution",
        "timeout expired",
        *TWO_PORTS,
    ],
)
def test_what_passes_is_tried_again(text: str) -> None:
    tries, pauses, connected = attempts(text, seconds=60, succeed_after=4)
    assert (tries, connected) == (5, True)
    assert pauses[:3] == sorted(pauses[:3])
    tries, pauses, connected = attempts(text, seconds=10)
    assert not connected
    assert 1 < tries < 60
    assert sum(pauses) <= 10.1


@pytest.mark.parametrize(
    "text",
    [
        'FATAL:  password authentication failed for user "app"',
        "SSL error: certificate verify failed",
        'server certificate for "a" does not match host name "b"',
        'FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "app", database "app", SSL encryption',
        'FATAL:  database "app" does not exist',
        'could not translate host name "h" to address: Name or service not known',
        "failed to resolve host 'h': [Errno -2] Name or service not known",
        "something unheard of",
        # One server with two addresses.
        f'connection to server at "h" (::1), port 5432 failed: Connection refused\n{AT} "h" (127.0.0.1), {WRONG}',
        f"""connection failed: {AT} "127.0.0.1", {WRONG}
Multiple connection attempts failed. All failures were:
- host: 'h', port: '5432', hostaddr: '::1': connection failed: {AT} "::1", port 5432 failed: Connection refused
- host: 'h', port: '5432', hostaddr: '127.0.0.1': connection failed: {AT} "127.0.0.1", {WRONG}""",
    ],
)
def test_what_stays_is_not_tried_again(text: str) -> None:
    assert attempts(text, seconds=60) == (1, [], False)


def test_0_turns_retrying_off() -> None:
    assert attempts("Connection refused", seconds=0) == (1, [], False)


def test_pauses_grow_to_a_limit_and_differ() -> None:
    backoff = Backoff(first=0.1, factor=2, longest=5)
    assert [backoff.pause(attempt, 1) for attempt in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert backoff.pause(3, 0) == 0.4
    assert backoff.pause(10_000, 1) == 5


def test_a_server_that_comes_back_is_waited_for(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    settings = retrying(settings_for(own_server), 90)
    assert one(connect(settings)) == 1
    own_server.stop()
    starting = threading.Timer(1, own_server.start)
    starting.start()
    with caplog.at_level(logging.INFO, "azpg_backend"):
        assert one(connect(settings)) == 1
    starting.join()
    assert caplog.records
    assert any("trying again" in record.getMessage() for record in caplog.records)
    assert PASSWORD not in caplog.text


def test_a_server_without_free_connections_is_waited_for(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    own_server.sql("ALTER ROLE app CONNECTION LIMIT 0")
    freeing = threading.Timer(1, own_server.sql, ["ALTER ROLE app CONNECTION LIMIT -1"])
    freeing.start()
    assert one(connect(retrying(settings_for(own_server), 90))) == 1
    freeing.join()


@pytest.mark.slow
def test_a_path_that_resets_is_tried_again(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    storm = [True] * 5

    def behave(visitor: socket.socket) -> None:
        if storm:
            storm.pop()
            servers.reset(visitor)
            return
        servers.carry(visitor, server.port)

    with servers.listening(behave) as port:
        wrapper = connect(retrying(settings_for(server, PORT=port), 90))
        assert one(wrapper) == 1
        wrapper.close()
    assert storm == []


def test_a_wrong_password_is_refused_at_once(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    said = 'password authentication failed for user "app"'
    before = server.log().count(said)
    with pytest.raises(OperationalError, match="password authentication failed"):
        one(connect(retrying(settings_for(server, PASSWORD="wrong"), 30)))
    assert server.log().count(said) == before + 1


# Health checks


def test_a_good_connection_costs_no_round_trip(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    sent: list[bytes] = []

    def behave(visitor: socket.socket) -> None:
        with socket.create_connection((server.host, server.port)) as upstream:
            threading.Thread(target=servers.pump, args=(upstream, visitor), daemon=True).start()
            while data := visitor.recv(65536):
                sent.append(data)
                upstream.sendall(data)

    with servers.listening(behave) as port:
        wrapper = connect(settings_for(server, PORT=port, CONN_HEALTH_CHECKS=True, CONN_MAX_AGE=None))
        one(wrapper)
        before = len(sent)
        assert wrapper.is_usable()
        assert len(sent) == before
        # The same after an error, and after a long pause: there the server is asked.
        wrapper.errors_occurred = True
        assert wrapper.is_usable()
        assert len(sent) == before + 1
        wrapper.errors_occurred = False
        wrapper._used_at -= health.ASK_AFTER_IDLE + 1
        assert wrapper.is_usable()
        assert len(sent) == before + 2
        wrapper.close()


def test_a_failed_transaction_is_not_usable(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    """As Django says too, which asks before it checks constraints at the end of a test."""
    wrapper = connect(settings_for(server))
    wrapper.set_autocommit(False)
    with pytest.raises(wrapper.Database.Error), wrapper.connection.cursor() as cursor:
        cursor.execute("SELECT nothing_of_this_name")
    assert not wrapper.errors_occurred
    assert not wrapper.is_usable()
    wrapper.rollback()
    assert wrapper.is_usable()


ENDINGS: dict[str, Callable[[LocalPostgres, int], object]] = {
    "terminated": lambda server, pid: server.sql(f"SELECT pg_terminate_backend({pid})"),
    "orderly restart": lambda server, pid: server.restart(),
    "killed": lambda server, pid: (server.kill(), server.start()),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_dead_connection_is_never_called_usable(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, ending: str
) -> None:
    wrapper = connect(settings_for(own_server, CONN_HEALTH_CHECKS=True, CONN_MAX_AGE=None))
    one(wrapper)
    assert wrapper.is_usable()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    ENDINGS[ending](own_server, pid)
    until_readable(wrapper)
    assert not wrapper.is_usable()
    # As at the start of a request: the dead connection is replaced, and the request does not notice.
    wrapper.close_if_unusable_or_obsolete()
    assert one(wrapper) == 1


def test_a_reset_connection_is_not_usable(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    visitors: list[socket.socket] = []

    def behave(visitor: socket.socket) -> None:
        visitors.append(visitor)
        servers.carry(visitor, server.port)

    with servers.listening(behave) as port:
        wrapper = connect(settings_for(server, PORT=port))
        one(wrapper)
        assert wrapper.is_usable()
        for visitor in visitors:
            visitor.shutdown(socket.SHUT_RDWR)
        until_readable(wrapper)
        assert not wrapper.is_usable()
        wrapper.close()


# Outside of requests, where nobody asks whether a connection still works


@pytest.mark.parametrize("options", [{}, pytest.param({"pool": {"min_size": 1}}, marks=needs_pool)])
def test_a_command_that_never_closes_its_connection_fails_once(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, options: Settings
) -> None:
    wrapper = connect(settings_for(own_server, options, CONN_MAX_AGE=0 if options else None))
    one(wrapper)
    own_server.restart()
    with pytest.raises(OperationalError):
        one(wrapper)
    assert [one(wrapper) for _ in range(3)] == [1, 1, 1]
    # The first statement of a transaction is as good.
    own_server.restart()
    with pytest.raises(OperationalError):
        one(wrapper)
    wrapper.set_autocommit(False)
    assert one(wrapper) == 1
    wrapper.rollback()


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_transaction_does_not_go_on_in_another_session(
    own_server: LocalPostgres, settings_for: SettingsFor, databases: Callable[..., None], by_hand: bool
) -> None:
    """What it wrote before is gone, and what follows must not be written without it."""
    create_table(own_server)
    databases(default=settings_for(own_server))
    wrapper = connections["default"]

    def written(number: int) -> None:
        with wrapper.cursor() as cursor:
            cursor.execute("INSERT INTO written VALUES (%s)", [number])

    def both() -> None:
        written(1)
        own_server.restart()
        with pytest.raises(DatabaseError):
            written(2)
        written(3)

    if by_hand:
        wrapper.set_autocommit(False)
        with pytest.raises((DatabaseError, InterfaceError)):
            both()
        wrapper.close()
    else:
        with pytest.raises((DatabaseError, InterfaceError)), transaction.atomic():
            both()
    written(4)
    assert stored(own_server) == {4}


# Under load


@pytest.mark.server
@pytest.mark.slow
def test_no_acknowledged_write_is_lost_when_the_server_is_killed(
    chain: Chain, settings_for: SettingsFor, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL, three seconds of nothing, and back, while four workers write as web requests do."""
    with LocalPostgres(chain, durable=True) as server:
        server.create("app", PASSWORD.replace("'", "''"), "app")
        create_table(server)
        settings = kept(retrying(settings_for(server), 90))
        with Load([settings] * 4) as load, load.fault():
            server.kill()
            time.sleep(3)
            server.start()
        figures = load.figures(stored(server))
    figures.check(record_property, "SIGKILL and 3 s")
    assert figures.longest_request > 2.5


# Starting with TLS directly


class Watched:
    """A relay that notes the first byte of each visitor: 0 for PostgreSQL's request, 22 for TLS at once."""

    def __init__(self, server: LocalPostgres, *, direct: bool = True) -> None:
        self.server = server
        self.direct = direct
        self.first: list[int] = []

    def __call__(self, visitor: socket.socket) -> None:
        start = visitor.recv(1, socket.MSG_PEEK)
        self.first.append(start[0])
        if start[0] == 22 and not self.direct:
            return
        servers.carry(visitor, self.server.port)


needs_17 = pytest.mark.skipif(libpq.version() < 170000, reason="sslnegotiation is new in libpq 17")


@needs_17
def test_later_connections_save_a_round_trip(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    watched = Watched(server)
    with servers.listening(watched) as port:
        for _ in range(3):
            wrapper = connect(settings_for(server, PORT=port))
            with wrapper.cursor() as cursor:
                cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                assert cursor.fetchone() == (True,)
            wrapper.close()
    assert watched.first == [0, 22, 22]


@needs_17
@needs_pool
def test_so_do_those_that_a_pool_opens(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    watched = Watched(server)
    with servers.listening(watched) as port:
        wrapper = connect(settings_for(server, {"pool": {"min_size": 0, "max_size": 3}}, PORT=port), "pooled")
        assert one(wrapper) == 1
        others = [wrapper.pool.getconn() for _ in range(2)]
        for each in others:
            wrapper.pool.putconn(each)
        wrapper.close()
        wrapper.close_pool()
    assert watched.first == [0, 22, 22]


@needs_17
def test_where_it_is_refused_it_is_not_tried_twice(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_servers, "FIRST_ATTEMPT", 0.0)
    watched = Watched(server, direct=False)
    with servers.listening(watched) as port:
        for _ in range(3):
            wrapper = connect(settings_for(server, PORT=port))
            assert one(wrapper) == 1
            wrapper.close()
    assert watched.first == [0, 22, 0, 0]


@needs_17
@pytest.mark.parametrize("by", ["options", "environment"])
def test_the_user_s_own_choice_wins(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    options = {"sslnegotiation": "postgres"} if by == "options" else {}
    if by == "environment":
        monkeypatch.setenv("PGSSLNEGOTIATION", "postgres")
    watched = Watched(server)
    with servers.listening(watched) as port:
        for _ in range(2):
            wrapper = connect(settings_for(server, options, PORT=port))
            assert one(wrapper) == 1
            wrapper.close()
    assert watched.first == [0, 0]


@needs_17
def test_a_direct_connection_is_verified_just_the_same(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, chain: Chain
) -> None:
    from demo_project.localpg import azure_chain

    settings = settings_for(own_server)
    assert one(connect(settings)) == 1
    own_server.use_chain(azure_chain(HOST))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        one(connect(settings))


@needs_17
def test_an_older_server_is_left_alone(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "DIRECT_SINCE", 990000)
    watched = Watched(server)
    with servers.listening(watched) as port:
        for _ in range(2):
            wrapper = connect(settings_for(server, PORT=port))
            assert one(wrapper) == 1
            wrapper.close()
    assert watched.first == [0, 0]


@pytest.mark.slow
@needs_17
def test_only_one_thread_makes_the_first_attempt(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    """An end that never answers a direct start costs one connect of a process its ten seconds, not all of them."""
    silent: list[int] = []

    def behave(visitor: socket.socket) -> None:
        if visitor.recv(1, socket.MSG_PEEK)[0] == 22:
            silent.append(1)
            servers.silent(visitor)
            return
        servers.carry(visitor, server.port)

    with servers.listening(behave) as port:
        settings = settings_for(server, PORT=port)
        assert one(connect(settings)) == 1
        took: list[float] = []

        def work(wrapper: Any) -> None:
            started = time.monotonic()
            wrapper.inc_thread_sharing()
            assert one(wrapper) == 1
            took.append(time.monotonic() - started)
            wrapper.close()

        workers = [threading.Thread(target=work, args=[connect(settings, f"alias{n}")]) for n in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert len(took) == 6
    assert len(silent) == 1
    assert sum(seconds >= 3 for seconds in took) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_that_connects_for_itself_leaves_the_parent_s_connection_alone(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    """What gunicorn --preload and Celery's prefork do, with connections closed in the child as they should be."""
    settings = settings_for(server)
    parent = connect(settings)
    assert one(parent) == 1
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if one(type(parent)(parent.settings_dict, "child")) == 1 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert one(parent) == 1
