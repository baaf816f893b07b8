"""Django's psycopg pool, connecting as the engine does.

psycopg_pool asks every connection with a round trip, sleeps between stale ones, and tells a waiting request nothing but
that there was no connection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from azpg_backend.connect import health, reports, servers
from azpg_backend.connect.failure import Failure
from azpg_backend.connect.opening import Door
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem

# Seconds. The shortest pause of a worker whose attempt failed.
_PAUSE = 0.1
# Seconds between two attempts of a worker that no request waits for.
_UNASKED_EVERY = 5.0
# For a worker to end, when a pool is closed in an outage.
_LAST_WAIT = 0.5
# psycopg_pool's default. One of its workers always remains for other tasks.
_WORKERS = 3


class Workers:
    """How a pool's workers connect, and what the requests that wait for them are told.

    door: how to get in.
    places: how many workers may stay until they have a connection, instead of giving up until the pool calls again.
    tell: wakes the requests that wait, for waiting can't help them.
    """

    def __init__(self, door: Door, places: int, tell: Callable[[], None]) -> None:
        self.door = door
        self.failure: Failure | None = None
        self.stopped = False
        self._failed_at = 0.0
        self.asking = 0
        self._places = places
        self._tell = tell
        self._changed = threading.Condition()

    def connect(self, call: Callable[..., Any], params: Mapping[str, Any]) -> Any:
        """Return a connection, or raise why there is none.

        The pool's own pauses would grow to minutes, so a worker stays if there is a place for it, and the next request
        that asks is the next attempt.
        """
        door = dataclasses.replace(self.door, call=call, stopped=lambda: self.stopped)
        found = self._attempt(door, params)
        if isinstance(found, Failure) and self._take_place():
            try:
                while isinstance(found, Failure) and not self.stopped:
                    self._wait_for_demand()
                    found = self._attempt(door, params)
            finally:
                with self._changed:
                    self._places += 1
        if isinstance(found, Failure):
            raise found.explained(door.plan.alias)
        return found

    def _attempt(self, door: Door, params: Mapping[str, Any]) -> Any:
        found = door.open(params)
        if isinstance(found, Failure):
            self._failed_at, self.failure = time.monotonic(), found
            if self._is_final(found):
                self._tell()
        else:
            self.failure = None
        return found

    def _is_final(self, failure: Failure) -> bool:
        """Whether what was met can't pass within the time for retries."""
        plan = self.door.plan
        down_for = servers.outage_of(plan).seconds(self.door.clock())
        return not failure.transient or down_for >= plan.options.connect_retry_seconds

    def _take_place(self) -> bool:
        with self._changed:
            if self.stopped or self._places <= 0:
                return False
            self._places -= 1
            return True

    def stop(self) -> None:
        """Let no worker stay any longer."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()
        servers.outage_of(self.door.plan).wake()

    def _wait_for_demand(self) -> None:
        end = time.monotonic() + _UNASKED_EVERY
        with self._changed:
            # Never at once: what failed a moment ago fails again.
            self._changed.wait(_PAUSE)
            while not self.asking and not self.stopped and time.monotonic() < end:
                self._changed.wait(2 * _PAUSE)

    @contextlib.contextmanager
    def asked(self) -> Iterator[float]:
        """Let the workers know that a request waits; yields the time on the monotonic clock."""
        with self._changed:
            self.asking += 1
            self._changed.notify_all()
        try:
            yield time.monotonic()
        finally:
            with self._changed:
                self.asking -= 1

    def raise_failure_since(self, asked: float) -> None:
        """Raise what the workers have met since then, unless it may pass within the time for retries."""
        failure = self.failure
        if failure is not None and self._failed_at >= asked and self._is_final(failure):
            raise failure.copy().explained(self.door.plan.alias)


class _Woken(Exception):  # noqa: N818 (no error)
    """Waiting can't help a request. Not a PoolTimeout, which psycopg_pool gives words of its own."""


class Pool(ConnectionPool[Any]):  # type: ignore[misc]
    """A pool of one alias.

    door: how its workers connect.
    checked: whether connections are looked at before they are given out (CONN_HEALTH_CHECKS).
    """

    def __init__(self, door: Door, *, checked: bool, **options: Any) -> None:
        workers = self.azpg_workers = Workers(door, options.get("num_workers", _WORKERS) - 1, self._wake)
        self.azpg_checked = checked
        self._azpg_stale_before = 0.0
        users: Any = options.pop("connection_class", Connection)

        class PoolConnection(users):  # type: ignore[misc]
            """made_at and used_at: when it was made and put back, on the monotonic clock."""

            made_at = used_at = 0.0

            @classmethod
            def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
                made = workers.connect(functools.partial(super().connect, conninfo), kwargs)
                made.made_at = made.used_at = time.monotonic()
                return made

        super().__init__(connection_class=PoolConnection, **options)

    def getconn(self, timeout: float | None = None) -> Any:
        """Return a connection that works, or raise why there is none.

        timeout: seconds; by default the pool's own.
        """
        seconds = self.timeout if timeout is None else timeout
        asked = time.monotonic()
        end = asked + seconds
        while True:
            connection = self._waited_for(end, seconds)
            try:
                if not self.azpg_checked or self._works(connection):
                    reports.pool_asked(self.azpg_workers.door.plan, time.monotonic() - asked)
                    return connection
            except BaseException:
                super().putconn(connection)
                raise
            self._drop_others(connection)
            super().putconn(connection)

    def _drop_others(self, stale: Any) -> None:
        """One stale connection means that the server was away: those that are as old are stale as well."""
        servers.outage_of(self.azpg_workers.door.plan).doubted = True
        if stale.made_at > self._azpg_stale_before:
            self._azpg_stale_before = time.monotonic()
            # Older releases of psycopg_pool have no drain(); there each is found stale in its turn.
            if hasattr(self, "drain"):
                self.drain()

    def putconn(self, conn: Any) -> None:
        conn.used_at = time.monotonic()
        super().putconn(conn)

    def close(self, timeout: float = 5.0) -> None:
        workers = self.azpg_workers
        workers.stop()
        # In an outage a worker may be in the middle of an attempt that nobody can cut short.
        down = servers.outage_of(workers.door.plan).explanation is not None
        super().close(min(timeout, _LAST_WAIT) if down else timeout)

    def _works(self, connection: Any) -> bool:
        try:
            if not health.is_quiet(connection, time.monotonic() - connection.used_at):
                self.check_connection(connection)
        except self.azpg_workers.door.driver.Error:
            return False
        return True

    def _waited_for(self, end: float, seconds: float) -> Any:
        workers = self.azpg_workers
        with workers.asked() as asked:
            while True:
                try:
                    return super().getconn(end - time.monotonic())
                except _Woken:
                    workers.raise_failure_since(asked)
                    continue
                except (TooManyRequests, PoolTimeout) as error:
                    problem = error
                if isinstance(problem, PoolTimeout):
                    problem.args = (f"couldn't get a connection after {seconds:.2f} sec",)
                    reports.pool_timed_out(workers.door.plan, seconds, workers.asking - 1)
                raise self._exhausted(problem)

    def _wake(self) -> None:
        """Let those who wait ask why. Until then each keeps its place: to look by itself, it would have to leave it."""
        with self._lock:
            # As psycopg_pool does when it is closed.
            waiting = list(self._waiting)
            self._waiting.clear()
        for each in waiting:
            each.fail(_Woken())

    def _exhausted(self, error: Exception) -> Exception:
        """Return the pool's own error with what it does not tell: why connecting failed, or who has the connections."""
        plan, failure = self.azpg_workers.door.plan, self.azpg_workers.failure
        if failure is not None:
            words = f"{error}; the pool could not log in: {failure.explanation.words}"
            return Failure(error, failure.explanation._replace(words=words)).explained(plan.alias)
        stats = self.get_stats()
        busy = stats.get("pool_size", 0) - stats.get("pool_available", 0)
        problem = Problem(
            "login.too_many_connections",
            f"{busy} of the pool's at most {self.max_size} connections are in use, and "
            f"{self.azpg_workers.asking - 1} other requests wait for one",
            "Raise max_size in OPTIONS['pool'], run fewer threads, or look for code that keeps a connection for long "
            "(a slow view, a thread that never closes its connection).",
        )
        return Failure(error, Explanation(str(error), problem)).explained(plan.alias)


def _looked_at_already(connection: Any) -> None:
    """Check nothing, for getconn() has looked without a round trip; but let a pool that checks say that it does."""


def make(door: Door, params: Mapping[str, Any], configure: Any, options: Any, *, checked: bool) -> Pool:
    """Return a pool that is not open yet.

    options: OPTIONS["pool"], True or a dict of psycopg_pool's arguments. A check among them replaces ours.
    """
    own = {} if options is True else dict(options)
    checked = checked and "check" not in own
    if checked:
        own["check"] = _looked_at_already
    pool = Pool(door, checked=checked, kwargs={**params, "autocommit": True}, open=False, configure=configure, **own)
    reports.pool_made(door.plan, pool)
    return pool
