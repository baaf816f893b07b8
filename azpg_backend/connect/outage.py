"""An outage: known to all threads of the process, with one of them at a time looking whether it is over.

A young outage is waited for, as long as connect_retry_seconds allows, counted from its beginning. An older one fails
every connect at once, but for the one that looks; so a server that is down costs requests to other servers nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

from azpg_backend.errors.explain import Explanation

# Seconds without any attempt after which nobody knows whether it is still the same outage.
STALE = 10.0
# Seconds between two looks at a server that is known to be down.
LOOK_EVERY = 0.25
# Seconds after which a look that nobody reported on is taken for abandoned, and another thread may look.
LONGEST_LOOK = 120.0


class Turn(Enum):
    """What a thread that wants to connect should do."""

    CONNECT = "nothing is known to be wrong"
    LOOK = "try, and tell the others how it went"
    GIVE_UP = "known to be down for longer than the time for retries"


class Outage:
    """Of one server, or of several that are alternatives. All times are seconds on one monotonic clock.

    doubted: a connection has died since the last connect, so that a login alone proves nothing: a pooler lets clients
        in while the server behind it is away.
    """

    def __init__(self) -> None:
        self.doubted = False
        self._changed = threading.Condition()
        self._since: float | None = None
        self._last = 0.0
        self._next_look = 0.0
        self._looking_until = 0.0
        self._explanation: Explanation | None = None

    @property
    def explanation(self) -> Explanation | None:
        """What the last attempt met, or None if the server is not known to be down."""
        return self._explanation if self._since is not None else None

    def seconds(self, now: float) -> float:
        """Return for how long it has been known."""
        return 0.0 if self._since is None else now - self._since

    def is_known(self, now: float) -> bool:
        """Whether the server is known to be down, from an attempt that is not too long ago."""
        return self._since is not None and now - self._last <= STALE

    def turn(self, patience: float, clock: Callable[[], float], stopped: Callable[[], bool] = lambda: False) -> Turn:
        """Return what to do, waiting if another thread is looking or the next look is not due.

        patience: seconds from the outage's beginning for which to wait.
        stopped: whether nobody needs the connection any more; asked again after wake().
        """
        if self._since is None:
            return Turn.CONNECT
        waited = False
        with self._changed:
            while True:
                now = clock()
                looking = now < self._looking_until
                if self._since is None or (now - self._last > STALE and not looking):
                    self._since = None
                    return Turn.CONNECT
                left = 0.0 if stopped() else self._since + patience - now
                # The last pause is cut short: who has waited looks once more at the end.
                if not looking and (now >= self._next_look or (waited and left <= 0)):
                    self._looking_until = now + LONGEST_LOOK
                    return Turn.LOOK
                if left <= 0:
                    return Turn.GIVE_UP
                due = min(left, self._looking_until - now if looking else self._next_look - now)
                self._changed.wait(due)
                waited = True

    def failed(self, explanation: Explanation, now: float, pause: float) -> bool:
        """Note a failed attempt, and that nobody need try again for so many seconds.

        Returns whether the outage was not known before.
        """
        with self._changed:
            began = self._since is None
            self._since = now if self._since is None else self._since
            self._last, self._next_look = now, now + pause
            self._explanation = explanation
            self._looking_until = 0.0
            self._changed.notify_all()
            return began

    def wake(self) -> None:
        """Let those who wait ask whether they are needed."""
        with self._changed:
            self._changed.notify_all()

    def over(self, now: float) -> float | None:
        """Note that the server answered: everybody may connect.

        Returns how many seconds the outage lasted, if one was known.
        """
        self.doubted = False
        if self._since is None and not self._looking_until:
            return None
        with self._changed:
            lasted = None if self._since is None else now - self._since
            self._since, self._explanation, self._looking_until = None, None, 0.0
            self._changed.notify_all()
            return lasted

    def abandoned(self) -> None:
        """Note that the one who looked learned nothing, such as when it was interrupted."""
        with self._changed:
            self._looking_until = 0.0
            self._changed.notify_all()
