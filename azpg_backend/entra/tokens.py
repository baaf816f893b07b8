"""One live token for many connections: kept in the process, renewed before it ends.

Nothing here knows Azure: a Keeper is given a function that fetches a token, and asks it as rarely as it can.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.core.exceptions import ImproperlyConfigured

from azpg_backend.process import memory

# Seconds that a connection waits for a token. Fetching goes on after that, for the next one: a sign-in in a browser
# may take minutes.
WAIT = 60.0
# Seconds before its end at which a token is renewed. azure-identity hands out the token that it has until 300 s before
# the end; earlier than that there is nothing new to get.
MARGIN = 290.0
# Seconds that a token must still have when a login begins.
LOGIN = 10.0
# A renewal that brought nothing is tried again after a quarter of the time that is left, within these seconds.
RETRY = (0.2, 30.0)
# Seconds in which a fresh token that is refused too is not replaced again: the mistake is another one, and every
# login of a busy site would ask for a token of its own.
FRESH = 30.0
# Seconds between a failure and the next request. Without a token every login makes one, and identity endpoints limit
# how many they answer.
PAUSE = 0.25
# Renewals of a token that no connection asks for, before it is left to end: a day, with tokens of an hour.
IDLE_RENEWALS = 24
# Seconds after which the clock is looked at again: it stands still while a machine sleeps.
LONGEST_SLEEP = 60.0


class TokenError(Exception):
    """There is no token. The text says why, in words that may be shown and logged."""


@dataclass(frozen=True)
class Token:
    """text: the token, a secret. expires_on: its end, in Unix seconds. renew_on: when to ask for the next one, or 0.

    fetched_on: when it was got. source: the kind of credential that it came from.
    """

    text: str = field(repr=False)
    expires_on: float
    renew_on: float = 0.0
    fetched_on: float = field(default_factory=time.time)
    source: str = ""

    @property
    def left(self) -> float:
        """Seconds until its end."""
        return self.expires_on - time.time()

    @property
    def serves(self) -> bool:
        """Whether a login that begins now will be over before the token is."""
        return self.left > min(LOGIN, (self.expires_on - self.fetched_on) / 4)

    @property
    def due(self) -> float:
        """When to renew it, in Unix seconds."""
        latest = self.expires_on - min(MARGIN, (self.expires_on - self.fetched_on) / 2)
        return min(self.renew_on, latest) if self.renew_on else latest


class Keeper:
    """Keeps the token of one identity alive, for all threads of this process.

    fetch: returns a token, or raises TokenError or ImproperlyConfigured; the argument says whether it must be newer
    than what any cache holds. It runs in a daemon thread of the keeper's own, one call at a time. name: for logs.
    """

    def __init__(self, name: str, fetch: Callable[[bool], Token]) -> None:
        self.name = name
        self._fetch = fetch
        self._token: Token | None = None
        self.start_over()
        memory.own(self)

    def start_over(self) -> None:
        """Forget thread and locks, which don't survive a fork; the token does."""
        self._lock = threading.Lock()
        # Two conditions, as those who wait for a token would wake each other for ever by asking for it.
        self._asked = threading.Condition(self._lock)
        self._settled = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._error: TokenError | ImproperlyConfigured | None = None
        self._wanted = self._fresh = False
        self._attempts = self._fresh_attempts = 0
        self._unused = 0
        self._fresh_on = self._failed_on = float("-inf")
        self._due = self._token.due if self._token else 0.0

    def get(self, refused: str = "", wait: float = WAIT) -> Token:
        """Return a live token; only where there is none yet does this wait.

        refused: a token that the server did not accept, so that another one is wanted. wait: seconds.
        Raises TokenError or ImproperlyConfigured with the reason why there is none.
        """
        end = time.monotonic() + wait
        memory.leave_parent()
        with self._lock:
            self._unused = 0
            attempts, fresh_attempts = self._attempts, self._fresh_attempts
            while True:
                token = self._token
                if token and token.serves and (token.text != refused or self._fresh_attempts > fresh_attempts):
                    self._run_thread()
                    return token
                if self._error and self._attempts > attempts:
                    raise type(self._error)(str(self._error))
                if token and token.text == refused and time.monotonic() - self._fresh_on < FRESH:
                    raise TokenError("a fresh token was refused as well, a moment ago")
                self._wanted = True
                self._fresh = self._fresh or bool(refused)
                self._run_thread()
                self._asked.notify()
                if not self._settled.wait(end - time.monotonic()):
                    raise TokenError(f"{self.name} gave no answer within {wait:g} s")

    def stop(self) -> None:
        """Drop the token and renew it no more; the next get() begins anew."""
        with self._lock:
            self._token, self._error, self._due = None, None, 0.0
            self._unused = IDLE_RENEWALS
            self._asked.notify()

    def _run_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._keep, name="azpg-token", daemon=True)
            self._thread.start()

    def _keep(self) -> None:
        while True:
            with self._lock:
                while not self._wanted and (delay := self._due - time.time()) > 0:
                    self._asked.wait(min(delay, LONGEST_SLEEP))
                if not self._wanted and (self._unused >= IDLE_RENEWALS or not (self._token and self._token.left > 0)):
                    # Nobody needs it, or only a request can tell whether somebody still does.
                    self._thread = None
                    return
                while (pause := self._failed_on + PAUSE - time.monotonic()) > 0:
                    self._asked.wait(pause)
                fresh = self._fresh
                self._wanted = self._fresh = False
            started = time.monotonic()
            got = self._attempt(fresh)
            self._tell(got, time.monotonic() - started)
            with self._lock:
                self._settle(got, fresh)
                self._settled.notify_all()

    def _attempt(self, fresh: bool) -> Token | TokenError | ImproperlyConfigured:
        """Fetch once. An error comes back without its traceback, whose frames may hold a token."""
        try:
            token = self._fetch(fresh)
        except (TokenError, ImproperlyConfigured) as error:
            return type(error)(str(error))
        if not token.serves:
            return TokenError(f"the token from {self.name} has ended already; is this machine's clock right?")
        return token

    def _tell(self, got: Token | TokenError | ImproperlyConfigured, seconds: float) -> None:
        """Tell the log and OpenTelemetry of an attempt that took so many seconds."""
        from azpg_backend.entra import reports

        if isinstance(got, Token):
            reports.fetched(self.name, got.left, seconds)
        else:
            serves = self._token.left if self._token and self._token.serves else 0.0
            reports.failed(self.name, str(got), serves, seconds)

    def _settle(self, got: Token | TokenError | ImproperlyConfigured, fresh: bool) -> None:
        self._attempts += 1
        self._unused += 1
        if isinstance(got, Token):
            self._token, self._error = got, None
            if fresh:
                self._fresh_attempts += 1
                self._fresh_on = time.monotonic()
        else:
            self._error, self._failed_on = got, time.monotonic()
        # What waits has either been answered or asks again.
        self._wanted = self._fresh = False
        if self._token is not None:
            shortest, longest = RETRY
            self._due = max(self._token.due, time.time() + min(max(self._token.left / 4, shortest), longest))
