"""psycopg2 that waits by a callback, as among greenlets, with stand-ins for gevent and the driver."""

from __future__ import annotations

import contextlib
import socket
import sys
import types
from typing import Any

import pytest

from azpg_backend.connect import green
from azpg_backend.plan.hosts import Endpoint
from tests.support.drivers import Driver


class Callbacks:
    """psycopg2 with psycogreen, as far as a connect goes, beside a gevent whose clock stands still.

    said: what becomes of a connect, by address: "" if it succeeds.
    """

    def __init__(self, said: dict[str, str]) -> None:
        self._said = said
        self.callback: Any = print
        self.times: list[float] = []
        self.tried: list[tuple[str, Any]] = []
        self.extensions = self
        self.OperationalError = Driver.OperationalError

    def get_wait_callback(self) -> Any:
        return self.callback

    def timeout(self, seconds: float, error: Exception) -> Any:
        assert isinstance(error, Driver.OperationalError)
        self.times.append(seconds)
        return contextlib.nullcontext()

    def connect(self, **params: Any) -> str:
        self.tried.append((params.get("hostaddr", ""), params.get("target_session_attrs")))
        if said := self._said.get(self.tried[-1][0], ""):
            raise self.OperationalError(said)
        return str(params["host"])

    def connected(self, *addresses: str, **params: Any) -> Any:
        self.times, self.tried = [], []
        endpoints = tuple(Endpoint(f"host{number}", each, 5432) for number, each in enumerate(addresses))
        hosts = ",".join(each.host for each in endpoints)
        given = {"host": hosts, "hostaddr": ",".join(addresses), "connect_timeout": 3, **params}
        return green.connected(self, self.connect, given, endpoints)


@pytest.fixture
def gevent(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = types.ModuleType("gevent")
    monkeypatch.setitem(sys.modules, "gevent", found)
    return found


def test_libpq_s_timeout_is_kept_for_a_driver_that_waits_by_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real gevent: tests/connect/test_app_servers.py."""
    driver = Callbacks({})
    monkeypatch.delitem(sys.modules, "gevent", raising=False)
    assert (driver.connected("a", "b"), driver.times) == ("host0,host1", [])
    found = types.ModuleType("gevent")
    found.Timeout = driver.timeout  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent", found)
    assert (driver.connected("a", "b"), driver.times) == ("host0", [3])
    assert (driver.connected("a", connect_timeout=0), driver.times) == ("host0", [])
    # A connection service, whose servers only libpq knows.
    assert (driver.connected(), driver.times) == ("", [3])
    # psycopg 3, and psycopg2 without psycogreen.
    driver.callback = None
    assert (driver.connected("a", "b"), driver.times) == ("host0,host1", [])
    assert green.connected(Driver, lambda **params: params["host"], {"host": "a", "connect_timeout": 3}, ()) == "a"


STANDBY, PRIMARY = "session is read-only", "server is not in hot standby mode"


@pytest.mark.parametrize(
    ("said", "params", "tried"),
    [
        ({"a": "timeout expired"}, {}, ["a", "b"]),
        ({"a": "connection refused"}, {}, ["a", "b"]),
        ({"a": "could not translate host name"}, {}, ["a", "b"]),
        ({"a": STANDBY}, {"target_session_attrs": "read-write"}, ["a", "b"]),
        ({"a": "password authentication failed for user"}, {}, ["a"]),
        ({"a": "nobody knows this"}, {}, ["a"]),
        ({"a": PRIMARY, "b": "timeout expired"}, {"target_session_attrs": "prefer-standby"}, ["a", "b", "a"]),
        ({"a": PRIMARY}, {"target_session_attrs": "prefer-standby"}, ["a", "b"]),
        ({"a": "timeout expired", "b": "timeout expired"}, {}, ["a", "b"]),
    ],
)
def test_greenlets_try_servers_in_libpq_s_order(
    gevent: Any, said: dict[str, str], params: dict[str, str], tried: list[str]
) -> None:
    driver = Callbacks(said)
    gevent.Timeout = driver.timeout
    with contextlib.suppress(Driver.OperationalError):
        driver.connected("a", "b", **params)
    assert [address for address, _ in driver.tried] == tried


def test_all_that_was_met_is_told(gevent: Any) -> None:
    driver = Callbacks({"a": "timeout expired", "b": "connection refused"})
    gevent.Timeout = driver.timeout
    with pytest.raises(Driver.OperationalError, match="timeout expired\nconnection refused"):
        driver.connected("a", "b", load_balance_hosts="disable")


def test_a_greenlet_s_name_has_its_addresses(gevent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of which may be silent; each has a time of its own, as with libpq."""
    driver = Callbacks({"::1": "timeout expired"})
    gevent.Timeout = driver.timeout
    known = [(0, 0, 0, "", (address, 5432)) for address in ("::1", "127.0.0.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: known)
    assert driver.connected("") == "host0"
    assert ([address for address, _ in driver.tried], driver.times) == (["::1", "127.0.0.1"], [3, 3])


def test_a_name_that_is_not_found_is_libpq_s_to_tell_of(gevent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Callbacks({})
    gevent.Timeout = driver.timeout

    def fail(*arguments: Any, **options: Any) -> None:
        raise socket.gaierror("not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert (driver.connected("", load_balance_hosts="random"), driver.tried) == ("host0", [("", None)])
