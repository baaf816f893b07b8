"""Django's psycopg pool, with connections that are made, checked and given up as the engine's others are.

psycopg_pool asks every connection with a round trip, sleeps between stale ones, and tells a waiting request nothing but
that there was no connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from azpg_backend.connect import health, servers
from azpg_backend.connect.failure import Failure
from azpg_backend.connect.opening import Door
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem

# Seconds. A request that waits for a connection looks this often whether connecting has failed.
_LOOK_WHILE_CONNECTING = 0.1
# The same in a pool whose connections work: to look, a request leaves its place in the queue.
_LOOK_WHILE_BUSY = 5.0
# Seconds between two attempts of a worker that no request waits for.
_UNASKED_EVERY = 5.0


class PoolConnection(Connection[Any]):  # type: ignore[misc]
    """used_at: when it was put back, on the monotonic clock; 0 if it is new."""

    used_at = 0.0


class Pool(ConnectionPool[Any]):  # type: ignore[misc]
    """A pool of one alias.

    door: how its workers connect.
    checked: whether connections are looked at before they are given out (CONN_HEALTH_CHECKS).
    """

    def __init__(self, door: Door, *, checked: bool, **options: Any) -> None:
        self._door = door
        self._checked = checked
        self._demand = threading.Condition()
        self._asking = 0
        self._lingering = 0
        self._failure: tuple[float, Failure] | None = None
        self._connected = False

        class Workers(PoolConnection):
            """What the workers of this pool make."""

            @classmethod
            def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
                return self._connect_for_worker(kwargs)

        super().__init__(connection_class=Workers, **options)

    # What workers do

    def _connect_for_worker(self, params: Mapping[str, Any]) -> Any:
        found = self._open(params)
        if isinstance(found, Failure) and self._take_place():
            # The pool's own pauses would grow to minutes; here the next request that asks is the next attempt.
            try:
                while isinstance(found, Failure) and not self.closed:
                    self._wait_for_demand()
                    found = self._open(params)
            finally:
                self._lingering -= 1
        if isinstance(found, Failure):
            raise found.explained(self._door.plan.alias)
        return found

    def _open(self, params: Mapping[str, Any]) -> Any:
        found = self._door.open(params)
        if isinstance(found, Failure):
            self._failure = (time.monotonic(), found)
        else:
            self._failure, self._connected = None, True
        return found

    def _take_place(self) -> bool:
        """Whether this worker may stay until it has a connection; one worker always remains for other tasks."""
        with self._demand:
            if self.closed or self._lingering >= self.num_workers - 1:
                return False
            self._lingering += 1
            return True

    def _wait_for_demand(self) -> None:
        end = time.monotonic() + _UNASKED_EVERY
        with self._demand:
            # Never at once: what failed a moment ago fails again.
            self._demand.wait(_LOOK_WHILE_CONNECTING)
            while not self._asking and not self.closed and time.monotonic() < end:
                self._demand.wait(2 * _LOOK_WHILE_CONNECTING)

    # What requests do

    def getconn(self, timeout: float | None = None) -> Any:
        """Return a connection that works, or raise why there is none.

        timeout: seconds; by default the pool's own.
        """
        seconds = self.timeout if timeout is None else timeout
        end = time.monotonic() + seconds
        while True:
            connection = self._waited_for(end, seconds)
            if not self._checked or self._works(connection):
                return connection
            # One stale connection means that the server was away: the others are stale as well.
            self.drain()
            self.putconn(connection)

    def putconn(self, conn: Any) -> None:
        conn.used_at = time.monotonic()
        super().putconn(conn)

    def _works(self, connection: Any) -> bool:
        if health.is_quiet(connection, time.monotonic() - connection.used_at):
            return True
        try:
            self.check_connection(connection)
        except self._door.driver.Error:
            return False
        return True

    def _waited_for(self, end: float, seconds: float) -> Any:
        asked = time.monotonic()
        with self._demand:
            self._asking += 1
            self._demand.notify_all()
        try:
            while True:
                left = end - time.monotonic()
                look = _LOOK_WHILE_BUSY if self._connected and self._failure is None else _LOOK_WHILE_CONNECTING
                try:
                    return super().getconn(min(left, look))
                except TooManyRequests as error:
                    problem = error
                except PoolTimeout as error:
                    error.args = (f"couldn't get a connection after {seconds:.2f} sec",)
                    problem = error if left <= look else None
                if problem is not None:
                    raise self._exhausted(problem)
                self._raise_failure_since(asked)
        finally:
            self._asking -= 1

    def _raise_failure_since(self, asked: float) -> None:
        if self._failure is None or self._failure[0] < asked:
            return
        _, failure = self._failure
        down_for = servers.outage_of(self._door.plan).seconds(self._door.clock())
        if not failure.transient or down_for >= self._door.plan.options.connect_retry_seconds:
            raise failure.copy().explained(self._door.plan.alias)

    def _exhausted(self, error: Exception) -> Exception:
        """Return the pool's own error with what it does not tell: why connecting failed, or who has the connections."""
        if self._failure is not None:
            _, failure = self._failure
            words = f"{error}; the pool could not log in: {failure.explanation.words}"
            return Failure(error, failure.explanation._replace(words=words)).explained(self._door.plan.alias)
        stats = self.get_stats()
        busy = stats.get("pool_size", 0) - stats.get("pool_available", 0)
        problem = Problem(
            "login.too_many_connections",
            f"{busy} of the pool's at most {self.max_size} connections are in use, and "
            f"{stats.get('requests_waiting', 0)} other requests wait for one",
            "Raise max_size in OPTIONS['pool'], run fewer threads, or look for code that keeps a connection for long "
            "(a slow view, a thread that never closes its connection).",
        )
        return Failure(error, Explanation(str(error), problem)).explained(self._door.plan.alias)


def make(door: Door, params: Mapping[str, Any], configure: Any, options: Any, *, checked: bool) -> Pool:
    """Return a pool that is not open yet.

    options: OPTIONS["pool"], True or a dict of psycopg_pool's arguments. A check among them replaces ours.
    """
    own = {} if options is True else dict(options)
    checked = checked and "check" not in own
    return Pool(door, checked=checked, kwargs={**params, "autocommit": True}, open=False, configure=configure, **own)
