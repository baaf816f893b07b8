"""Trying again to connect while a server restarts: when, how long, and how often."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from azpg_backend.errors import causes, explain

logger = logging.getLogger("azpg_backend")

T = TypeVar("T")


class Backoff(NamedTuple):
    """Growing pauses, in seconds, with as much chance in them that many workers don't come back all at once."""

    first: float = 0.1
    factor: float = 2.0
    longest: float = 5.0

    def pause(self, attempt: int, chance: float) -> float:
        """Return the pause after an attempt, counted from 0. chance: from 0 to 1."""
        # The exponent is bounded, because an hour of retrying would otherwise leave the range of a float.
        whole = min(self.longest, self.first * self.factor ** min(attempt, 30))
        return whole / 2 + whole / 2 * chance


def connecting(
    attempt: Callable[[], T],
    error_class: type[Exception],
    seconds: float,
    alias: str,
    *,
    backoff: Backoff = Backoff(),  # noqa: B008 (a frozen value)
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what attempt() returns, trying again after transient errors for at most so many seconds.

    Which errors are transient the catalogue says: a refused or reset connection, a restart, too many connections, a
    name server that did not answer. A wrong password, certificate, firewall or name is raised at once. Nothing is
    started that could not begin before the time is over; name resolution is the driver's and so done afresh.
    """
    end = clock() + seconds
    tries = 0
    while True:
        try:
            return attempt()
        except error_class as error:
            cause = causes.cause_of(explain.driver_text(error))
            pause = backoff.pause(tries, random.random())  # noqa: S311 (spreads load; no secret depends on it)
            if cause is None or not cause.transient or clock() + pause >= end:
                raise
            logger.info("%s: could not connect, trying again in %.1f s: %s", alias, pause, cause.reason)
        tries += 1
        sleep(pause)
