"""Workers that write as web requests do while something breaks, and an account of what became of every write."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import ConnectionHandler
from django.db.utils import InterfaceError, OperationalError

from demo_project.localpg import LocalPostgres

logger = logging.getLogger("tests.load")

Settings = dict[str, Any]

# Seconds. A request that takes longer than all the faults and patience of these tests hangs.
HUNG = 120
# Seconds. The longest pause between two attempts to connect is 5 s (retry.Backoff), and TCP, which doubles its pauses,
# finds out about a path that is back after as long again as it was silent, here 8 s. The rest is for a busy machine.
BACK_WITHIN = 25


def kept(settings: Settings) -> Settings:
    """Connections as a busy site keeps them: for ever, checked at the start of each request."""
    return {**settings, "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": None}


def fresh(settings: Settings) -> Settings:
    """A new connection for each request, Django's default."""
    return {**settings, "CONN_MAX_AGE": 0}


def create_table(server: LocalPostgres) -> None:
    """Make an empty table for the writes of one test; a table of an earlier one goes."""
    server.sql(
        "DROP TABLE IF EXISTS written; CREATE TABLE written (id bigint PRIMARY KEY); GRANT ALL ON written TO PUBLIC",
        "app",
    )


def stored(*several: LocalPostgres) -> set[int]:
    return {int(row) for server in several for row in server.sql("SELECT id FROM written", "app").split()}


def sever(server: LocalPostgres) -> None:
    """End every client's session, so that all have to connect anew."""
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")


@dataclass(frozen=True)
class Figures:
    """What a fault did. Times are in seconds.

    failed_while_down: requests that started before the end of the fault. failed_after_return: texts of the others.
    back_after: from the end of the fault until every worker had written again.
    """

    acknowledged: int
    lost: int
    failed_while_down: int
    failed_after_return: list[str]
    hung: int
    longest_request: float
    back_after: float

    def check(self, record_property: Callable[[str, object], None], name: str) -> None:
        """Note the figures for the report, and hold them against what must never happen."""
        shown = {**dataclasses.asdict(self), "failed_after_return": len(self.failed_after_return)}
        for key, value in shown.items():
            record_property(key, value)
        logger.info("%s: %s", name, ", ".join(f"{key} {value}" for key, value in shown.items()))
        assert self.hung == 0
        assert self.failed_after_return == []
        assert self.lost == 0
        assert self.acknowledged > 0
        assert self.back_after < BACK_WITHIN


@dataclass(frozen=True)
class Request:
    """One write, acknowledged where error is None. The times are time.monotonic()'s."""

    number: int
    started: float
    ended: float
    error: str | None


def write(wrapper: Any, number: int) -> Request:
    """Write a number as a web request does, with Django's own signal handlers before and after it."""
    error = None
    started = time.monotonic()
    wrapper.close_if_unusable_or_obsolete()
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("INSERT INTO written VALUES (%s)", [number])
    except (OperationalError, InterfaceError) as failure:
        error = str(failure)
    wrapper.close_if_unusable_or_obsolete()
    return Request(number, started, time.monotonic(), error)


class Load:
    """One thread for each settings dict, writing one number per request into the table of create_table().

    The first one has nothing to do during a fault, so that afterwards it comes upon whatever its connection has become.
    A context manager: it begins once every worker has written, and ends once every worker has written again.
    """

    def __init__(self, settings: Sequence[Settings]) -> None:
        self._requests: list[list[Request]] = [[] for _ in settings]
        self._stop = threading.Event()
        self._undisturbed = threading.Event()
        self._undisturbed.set()
        self._returned_at = 0.0
        self._threads = [
            # Daemons, for one that hangs should fail its test only.
            threading.Thread(target=self._work, args=(each, requests, number * 1_000_000), daemon=True)
            for number, (each, requests) in enumerate(zip(settings, self._requests, strict=True), 1)
        ]

    def _work(self, settings: Settings, requests: list[Request], number: int) -> None:
        wrapper = ConnectionHandler({"default": settings})["default"]
        while not self._stop.is_set():
            number += 1
            requests.append(write(wrapper, number))
            if requests is self._requests[0]:
                self._undisturbed.wait()
            time.sleep(0.005)
        wrapper.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self._wait_for_writes(0.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._wait_for_writes(self._returned_at)
            # Long enough for a pause between two attempts that had begun before.
            time.sleep(0.5)
        self._stop.set()
        self._undisturbed.set()
        end = time.monotonic() + HUNG
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))

    def _wait_for_writes(self, since: float) -> None:
        end = time.monotonic() + HUNG
        while time.monotonic() < end and not all(self._written_since(each, since) for each in self._requests):
            time.sleep(0.02)

    @staticmethod
    def _written_since(requests: list[Request], since: float) -> float | None:
        return next((each.ended for each in requests if each.error is None and each.started > since), None)

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """For so long as the block lasts, requests may fail; in the undisturbed moment before it none may."""
        time.sleep(0.5)
        assert [each.error for requests in self._requests for each in requests if each.error] == []
        self._undisturbed.clear()
        # For the request that has begun.
        time.sleep(0.1)
        yield
        self._returned_at = time.monotonic()
        self._undisturbed.set()

    def acknowledged(self) -> set[int]:
        return {each.number for requests in list(self._requests) for each in list(requests) if each.error is None}

    def figures(self, stored: set[int]) -> Figures:
        """Count, once the load has ended. stored: what the servers have."""
        requests = [each for several in self._requests for each in list(several)]
        failed = [each for each in requests if each.error is not None]
        after = [str(each.error) for each in failed if each.started > self._returned_at]
        acknowledged = self.acknowledged()
        back = [self._written_since(each, self._returned_at) or float("inf") for each in self._requests]
        return Figures(
            acknowledged=len(acknowledged),
            lost=len(acknowledged - stored),
            failed_while_down=len(failed) - len(after),
            failed_after_return=after,
            hung=sum(thread.is_alive() for thread in self._threads),
            longest_request=round(max(each.ended - each.started for each in requests), 2),
            back_after=round(max(back) - self._returned_at, 2),
        )
