"""The pauses between attempts to connect."""

from __future__ import annotations

import random
from typing import NamedTuple


class Backoff(NamedTuple):
    """Growing pauses, in seconds, with as much chance in them that many workers don't come back all at once."""

    first: float = 0.1
    factor: float = 2.0
    # Half a second after the return of a server every process that waits for it has looked.
    longest: float = 0.4

    def pause(self, attempt: int, chance: float) -> float:
        """Return the pause after an attempt.

        attempt: counted from 0.
        chance: from 0 to 1.
        """
        # The exponent is bounded, because an hour of retrying would otherwise leave the range of a float.
        whole = min(self.longest, self.first * self.factor ** min(attempt, 30))
        return whole / 2 + whole / 2 * chance

    def random(self, attempt: int) -> float:
        return self.pause(attempt, random.random())  # noqa: S311 (spreads load; no secret depends on it)
