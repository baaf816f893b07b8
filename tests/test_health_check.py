"""azpg_backend.health_check: the reason in public words, at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from health_check.exceptions import ServiceUnavailable

from azpg_backend.connect import roles
from azpg_backend.connect.outage import Turn
from azpg_backend.connect.servers import outage_of
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem
from azpg_backend.health_check import Database
from demo_project.localpg import LocalPostgres
from tests.support import servers
from tests.support.settings import HOST, SettingsFor
from tests.support.waiting import LIMIT

PATIENT = {"azpg": {"connect_retry_seconds": 120}}
Databases = Callable[..., None]


def reason(alias: str = "default", **options: Any) -> str:
    with pytest.raises(ServiceUnavailable) as raised:
        Database(alias, **options).run()
    return str(raised.value.message)


def test_a_good_database(server: LocalPostgres, settings_for: SettingsFor, databases: Databases) -> None:
    databases(default=settings_for(server))
    Database().run()
    assert connections["default"].connection is None
    assert repr(Database()) == "Database(alias='default')"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PASSWORD": "s3ntinel-9f2c"}, "login.wrong_password"),
        ({"NAME": "nothing"}, "login.unknown_database"),
        ({"HOST": f"https://{HOST}"}, "settings.invalid"),
        ({"USER": "nobody"}, "login.wrong_password"),
    ],
)
def test_the_reason(
    server: LocalPostgres, settings_for: SettingsFor, databases: Databases, changes: dict[str, str], code: str
) -> None:
    databases(default=settings_for(server))
    Database().run()
    databases(default=settings_for(server, **changes))
    said = reason()
    assert said.endswith(f"({code})")
    assert not any(each in said for each in (HOST, "127.0.0.1", "s3ntinel", "nobody"))


def test_a_server_that_is_down_is_told_at_once(at_port: SettingsFor, databases: Databases) -> None:
    """Not after connect_retry_seconds, which are longer than a test may take."""
    databases(default=at_port(servers.closed_port(), **PATIENT))
    assert reason().endswith("(login.failed)")


def test_a_silent_server_is_waited_for_as_long_as_it_is_said(at_port: SettingsFor, databases: Databases) -> None:
    with servers.listening(servers.silent) as port:
        databases(default=at_port(port, **PATIENT))
        started = time.monotonic()
        assert reason(seconds=2).endswith("(login.timeout)")
        assert time.monotonic() - started < 60


def test_silence_is_bounded_however_many_hosts_there_are(at_port: SettingsFor, databases: Databases) -> None:
    """libpq gives each of them its connect_timeout, which makes 40 s."""
    with servers.listening(servers.silent) as port:
        settings = at_port(port, hostaddr=",".join(["127.0.0.1"] * 10), **PATIENT)
        databases(default={**settings, "HOST": ",".join([settings["HOST"]] * 10)})
        started = time.monotonic()
        assert reason(seconds=4).endswith("(login.timeout)")
        assert time.monotonic() - started < 30


def test_a_known_outage_is_told_without_connecting(at_port: SettingsFor, databases: Databases) -> None:
    visits: list[object] = []
    with servers.listening(visits.append) as port:
        databases(default=at_port(port, **PATIENT))
        plan = connections["default"].plan()
        outage = outage_of(plan)
        down = Explanation("starting up", Problem("login.starting_up", "the server is restarting", transient=True))
        outage.failed(down, time.monotonic(), 0.0)
        # Another thread is looking at this moment.
        assert outage.turn(60, time.monotonic) is Turn.LOOK
        assert reason().endswith("(login.starting_up)")
        assert visits == []


def test_a_server_that_lets_in_and_then_says_nothing(
    server: LocalPostgres, settings_for: SettingsFor, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases(default=settings_for(server))
    never = threading.Event()
    monkeypatch.setattr(roles, "in_recovery", lambda plan, connection: never.wait(LIMIT))
    assert reason(seconds=1).endswith("(session.timeout)")
    never.set()


def test_an_alias_that_is_not_there(databases: Databases) -> None:
    assert reason("reports") == "DATABASES has no such alias"


@pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
def test_a_pool_that_has_no_connection_left(
    server: LocalPostgres, settings_for: SettingsFor, databases: Databases
) -> None:
    databases(default=settings_for(server, {"pool": {"min_size": 1, "max_size": 1}}))
    wrapper = connections["default"]
    try:
        wrapper.ensure_connection()
        Database().run()
        held, wrapper.connection = wrapper.connection, None
        assert reason().endswith("(login.too_many_connections)")
        wrapper.connection = held
    finally:
        wrapper.close()
        wrapper.close_pool()
