"""One deadline for one connect, shared by everything in it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from azpg_backend.plan.libpq import connect_timeout_of

# libpq takes whole seconds, and before release 17 at least two.
_SHORTEST_CONNECT_TIMEOUT = 2


class Deadline:
    """A moment after which a connect gives up.

    seconds: from now; infinite if the user told libpq to wait for ever.
    clock: monotonic, in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.start = clock()
        self.end = self.start + seconds

    def left(self) -> float:
        """Return the seconds that remain, never less than 0."""
        return max(0.0, self.end - self.clock())

    def connect_timeout(self, params: Mapping[str, Any], hosts: int) -> dict[str, int]:
        """Return a shorter connect_timeout for an attempt that starts now, or {} if libpq's own is short enough.

        hosts: how many servers libpq may try one after the other, each with its own connect_timeout.
        """
        own = connect_timeout_of(params)
        left, hosts = self.left(), hosts or 1
        if left >= own * hosts:
            return {}
        each = max(_SHORTEST_CONNECT_TIMEOUT, math.ceil(left / hosts))
        return {"connect_timeout": each} if each < own else {}
