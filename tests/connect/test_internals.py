"""What two threads, an interruption or a fork in the wrong place could break, with stand-ins for the driver."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.utils import OperationalError

from azpg_backend.connect import health, outage, roles, servers, ways
from azpg_backend.connect.backoff import Backoff
from azpg_backend.connect.failure import Failure
from azpg_backend.connect.opening import Door
from azpg_backend.connect.outage import Outage, Turn
from azpg_backend.connect.servers import RELEARN_AFTER, Server
from azpg_backend.entra import login
from azpg_backend.entra.tokens import TokenError
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.redact import Secret
from azpg_backend.process import memory
from tests.support.drivers import Driver, Quiet
from tests.support.plans import planned, planned_settings

DOWN = Explanation("Connection refused", None)


def door(call: Any, **azpg: Any) -> Door:
    return Door(planned({"azpg": azpg}), call, Driver)


def refuse(**params: Any) -> Any:
    raise Driver.OperationalError("Connection refused")


# Outages


def test_a_look_that_nobody_reports_on_does_not_keep_the_others_out_for_ever() -> None:
    """As when its thread was ended between its turn and its attempt."""
    known = Outage()
    now = [100.0]
    known.failed(DOWN, 100.0, 0.1)
    now[0] = 101.0
    assert known.turn(0, lambda: now[0]) is Turn.LOOK
    now[0] = 102.0
    assert known.turn(0, lambda: now[0]) is Turn.GIVE_UP
    now[0] = 102.0 + outage.LONGEST_LOOK
    assert known.turn(0, lambda: now[0]) is not Turn.GIVE_UP


def test_an_interrupted_look_lets_another_thread_look() -> None:
    def interrupt(**params: Any) -> Any:
        raise KeyboardInterrupt

    through = door(interrupt, connect_retry_seconds=5)
    known = servers.outage_of(through.plan)
    known.failed(DOWN, time.monotonic(), 0.0)
    with pytest.raises(KeyboardInterrupt):
        through.open({})
    assert known.turn(0, time.monotonic) is Turn.LOOK


def test_an_outage_that_ends_between_the_turn_and_the_words_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter([Turn.GIVE_UP, Turn.CONNECT])
    monkeypatch.setattr(Outage, "turn", lambda *arguments: next(turns))
    assert isinstance(door(lambda **params: Quiet(), connect_retry_seconds=5).open({}), Quiet)


def test_a_missing_token_says_nothing_about_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still down, and still nobody but one thread looks."""

    def no_token(*arguments: Any) -> Any:
        raise TokenError("no answer")

    monkeypatch.setattr(login, "login_for", no_token)
    through = door(refuse, auth="entra", connect_retry_seconds=0)
    known = servers.outage_of(through.plan)
    known.failed(DOWN, time.monotonic(), 0.0)
    assert isinstance(through.open({}), Failure)
    assert known.explanation is DOWN


class LetsIn:
    """A pooler's connection: the login is over, and the query gets no answer until the socket ends."""

    autocommit = False
    closed = False
    info = Quiet.info

    def __init__(self) -> None:
        self._end, self.pooler = socket.socketpair()

    def fileno(self) -> int:
        return self._end.fileno()

    @contextlib.contextmanager
    def cursor(self) -> Iterator[LetsIn]:
        yield self

    def execute(self, statement: str) -> None:
        if self._end.recv(1) != b"1":
            raise Driver.OperationalError("server closed the connection unexpectedly")

    def fetchone(self) -> tuple[int]:
        return (1,)

    def close(self) -> None:
        self.closed = True
        self._end.close()
        self.pooler.close()


def behind_a_pooler(*behaviours: str) -> tuple[Door, list[LetsIn]]:
    """Return a way in through a pooler, of which a connection has died, and the list of those that it made.

    behaviours: for each login what follows: it "answers", stays "silent" or "hangs up".
    """
    made: list[LetsIn] = []

    def let_in(**params: Any) -> Any:
        made.append(LetsIn())
        behaviour = behaviours[len(made) - 1]
        if behaviour != "silent":
            made[-1].pooler.sendall(b"1" if behaviour == "answers" else b"0")
        return made[-1]

    plan = planned({"connect_timeout": 1, "azpg": {"connect_retry_seconds": 1}})
    servers.outage_of(plan).doubted = True
    return Door(plan, let_in, Driver, backoff=Backoff(first=0.01, longest=0.01)), made


def test_after_a_death_a_login_that_leads_nowhere_is_no_connect() -> None:
    through, made = behind_a_pooler("hangs up", "hangs up", "answers", "silent")
    assert through.open({}) is made[2]
    assert made[0].closed and made[1].closed
    assert not made[2].autocommit
    # It has answered, and nobody asks the next one.
    assert not servers.outage_of(through.plan).doubted
    assert through.open({}) is made[3]
    for each in made:
        each.close()


def test_a_pooler_that_is_silent_after_a_login_may_be_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query waits for its turn there, for minutes if need be: the next login is not asked, and nobody fails."""
    monkeypatch.setattr(health, "ANSWER_WITHIN", 0.1)
    through, made = behind_a_pooler("silent", "silent")
    assert through.open({}) is made[1]
    assert made[0].closed
    assert servers.outage_of(through.plan).explanation is None
    made[1].close()


# Direct TLS


def test_a_server_that_started_directly_is_given_its_whole_time() -> None:
    plan = planned({"connect_timeout": 30})
    server = servers.of(plan.endpoints[0])
    server.learn_release(True, 0.0)
    assert ways.ways(plan, 1.0)[0].params == {"sslnegotiation": "direct", "connect_timeout": 10}
    server.started_directly()
    assert ways.ways(plan, 2.0)[0].params == {"sslnegotiation": "direct"}


def test_a_server_that_was_down_is_asked_to_start_directly_again() -> None:
    server = Server()
    server.started_directly()
    server.refused_to_start_directly(100.0)
    assert not server.may_start_directly(101.0)
    assert server.may_start_directly(100.0 + servers.FIRST_ATTEMPT)
    server.refused_to_start_directly(200.0)
    assert not server.may_start_directly(199.0 + RELEARN_AFTER)


# Roles


@pytest.mark.parametrize(
    ("options", "changes", "environ"),
    [
        ({}, {}, {}),
        ({}, {"TEST": {"MIRROR": "primary"}, "HOST": "a,b"}, {}),
        ({"target_session_attrs": "any"}, {"HOST": "a,b"}, {}),
        ({"target_session_attrs": "read-write"}, {"HOST": "a,b"}, {}),
        ({"service": "app"}, {"HOST": "a,b"}, {}),
        ({}, {"HOST": "a,b"}, {"PGTARGETSESSIONATTRS": "read-write"}),
    ],
)
def test_only_several_servers_to_write_to_are_asked_for_a_primary(
    options: dict[str, Any], changes: dict[str, Any], environ: dict[str, str]
) -> None:
    asked = {"target_session_attrs": "primary"}
    assert [way.params for way in ways.ways(planned(HOST="a,b"), 0.0)] == [asked, {}]
    # A new token asks the same.
    tokens = ways.ways(planned({"azpg": {"auth": "entra"}}, HOST="a,b"), 0.0)
    assert [way.params for way in tokens] == [asked, asked, {}]
    plan = planned(options, environ, **changes)
    assert all("target_session_attrs" not in way.params for way in ways.ways(plan, 0.0))


def test_a_closed_connection_has_no_role() -> None:
    class Closed:
        closed = True

    assert not roles.claims_recovery(Closed())


# Forks


@pytest.fixture
def in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fork without Python's hooks leaves behind. What this process really owns, with its threads, goes on."""
    monkeypatch.setattr(memory, "_owned", weakref.WeakSet())
    monkeypatch.setattr(memory, "_all", [])
    monkeypatch.setattr(memory, "owner", os.getpid() + 1)


def test_a_second_thread_of_a_child_waits_until_the_parent_is_left(in_a_child: None) -> None:
    """Without Python's hooks, two threads of a new uWSGI worker may be the first to ask at the same time."""
    leaving, seen = threading.Event(), []

    class Slow:
        def start_over(self) -> None:
            memory.leave_parent()
            leaving.set()
            time.sleep(0.3)
            seen.append("left")

    slow = Slow()
    memory.own(slow)
    first = threading.Thread(target=memory.leave_parent)
    first.start()
    assert leaving.wait(10)
    memory.leave_parent()
    assert seen == ["left"]
    first.join()


def test_a_lock_that_the_parent_held_does_not_stop_a_child(in_a_child: None, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.RLock()
    thread = threading.Thread(target=held.acquire)
    thread.start()
    thread.join()
    monkeypatch.setattr(memory, "_locks", {os.getpid() + 1: held})
    memory.leave_parent()
    assert memory.owner == os.getpid()


# Secrets


def test_no_frame_has_a_token_in_clear_if_a_login_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the time limit of an application server, which may end a request anywhere."""
    token = "gfa7Kq!z-token"

    class Token:
        text = Secret(token)

    def interrupt(**params: Any) -> Any:
        copied = {key: "".join(value) for key, value in params.items() if isinstance(value, str)}
        raise SystemExit(len(copied))

    monkeypatch.setattr(login, "login_for", lambda *arguments: ("app", Token))
    through = door(interrupt, auth="entra")
    with pytest.raises(SystemExit) as caught:
        through.open({})
    frames = [frame for frame in caught.traceback if "azpg_backend" in str(frame.path)]
    assert len(frames) > 2
    for frame in caught.traceback[1:]:
        assert token not in repr(frame.frame.f_locals), frame


def test_a_failure_keeps_nothing_of_the_driver_s_exception() -> None:
    """psycopg's has the whole conninfo in an attribute."""
    error = Driver.OperationalError("refused")
    error.info = "password=gfa7Kq!z"  # type: ignore[attr-defined]
    failure = Failure.of(error, Driver, [])
    raised = failure.explained("default")
    assert type(raised) is Driver.OperationalError
    assert "gfa7Kq!z" not in repr(vars(raised))
    assert str(raised).startswith("refused")


@pytest.mark.parametrize("keyword", ["sslpassword", "password"])
def test_every_secret_in_options_is_hidden_from_reporters(connect: Any, keyword: str) -> None:
    wrapper = connect({**planned_settings(), "OPTIONS": {keyword: "gfa7Kq!z"}})
    assert "gfa7Kq!z" not in repr(wrapper.get_connection_params())
    assert wrapper.get_connection_params()[keyword] == "gfa7Kq!z"


def test_the_engine_s_own_keys_and_another_package_s_are_not_for_the_driver(connect: Any) -> None:
    settings = {**planned_settings(), "OPTIONS": {"azpg": {}, "MAX_CONNS": 4}}
    assert not {"azpg", "MAX_CONNS"} & connect(settings).get_connection_params().keys()


def test_a_failure_s_kind_is_django_s(connect: Any) -> None:
    wrapper = connect({**planned_settings(), "PORT": 1, "OPTIONS": {"hostaddr": "127.0.0.1"}})
    wrapper.settings_dict["OPTIONS"]["azpg"] = {"connect_retry_seconds": 0}
    with pytest.raises(OperationalError):
        wrapper.ensure_connection()


# Patience


@pytest.mark.parametrize("pause", [0.1, 0.4, 0.7])
def test_the_whole_budget_is_used(monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    """A server that is back just before the end is reached: the last pause is cut short."""
    now = [1000.0]

    def connect(**params: Any) -> Any:
        if now[0] < 1004.95:
            raise Driver.OperationalError("Connection refused")
        return Quiet()

    def wait(self: Any, timeout: float) -> None:
        now[0] += timeout

    monkeypatch.setattr(threading.Condition, "wait", wait)
    backoff = Backoff(first=pause, factor=1, longest=pause)
    plan = planned({"azpg": {"connect_retry_seconds": 5}})
    through = Door(plan, connect, Driver, backoff=backoff, clock=lambda: now[0], sleep=lambda pause: None)
    assert isinstance(through.open({}), Quiet)
    assert now[0] <= 1005.01
