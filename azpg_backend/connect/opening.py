"""One connect: the ways to try, again while the server is only away, under one deadline."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from azpg_backend.connect import green, health, roles, servers
from azpg_backend.connect.backoff import Backoff
from azpg_backend.connect.deadline import Deadline
from azpg_backend.connect.failure import Failure
from azpg_backend.connect.outage import LOOK_EVERY, Outage, Turn
from azpg_backend.connect.servers import Group
from azpg_backend.connect.ways import After, failure_of, learn, may_pass, ways
from azpg_backend.errors.redact import Secret
from azpg_backend.plan.decision import Plan

logger = logging.getLogger("azpg_backend")

Params = Mapping[str, Any]
_NO_TOKEN = Secret()


def _is_heard() -> bool:
    """Whether anybody wants to know of a connect that went well."""
    return "opentelemetry.metrics" in sys.modules or logger.isEnabledFor(logging.DEBUG)


def _reports() -> Any:
    """Return what tells of a connect; a process in which there is nothing to tell does without its modules."""
    from azpg_backend.connect import reports

    return reports


@dataclass(slots=True, eq=False)
class Door:
    """How to get into the servers of one alias.

    plan: what libpq is asked for.
    call: the driver's connect, with keyword arguments.
    driver: the driver's module, for its exceptions.
    secrets: returns what must not be shown of its errors.
    stopped: whether nobody needs a connection any more, so that nothing is tried again.
    """

    plan: Plan
    call: Callable[..., Any]
    driver: Any
    secrets: Callable[[], Iterable[str]] = field(default=tuple, repr=False)
    backoff: Backoff = Backoff()
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    stopped: Callable[[], bool] = lambda: False

    def open(self, params: Params) -> Any:
        """Return an open connection, or a Failure.

        Returned, not raised, so that no traceback leads to frames that hold a password. What is worth another try is
        tried until connect_retry_seconds are over; no attempt starts after that.
        params: the driver's keyword arguments; with Microsoft Entra, user and password are replaced.
        """
        limit = Deadline(self.plan.connect_seconds, self.clock)
        found, attempts = self._opened(params, limit)
        if isinstance(found, Failure) or _is_heard():
            _reports().ended(self.plan, found, attempts, self.clock() - limit.start)
        return found

    def _opened(self, params: Params, limit: Deadline) -> tuple[Any, int]:
        """Return the same, with the number of attempts."""
        end = limit.start + self.plan.options.connect_retry_seconds
        known = servers.group_of(self.plan)
        failure: Failure | None = None
        attempts = 0
        while True:
            if self._turn(known.outage) is Turn.GIVE_UP:
                failure = failure or _known_to_be_down(self, known.outage)
                if failure:
                    return failure, attempts
                # The outage ended just now.
                continue
            found = self._attempt(params, known, limit, end)
            attempts += 1
            if not isinstance(found, Failure):
                return found, attempts
            failure = found
            pause = self.backoff.random(attempts - 1)
            if failure.server_asked and failure.is_outage:
                self._share(failure, known.outage, end, pause)
            _reports().attempt_failed(self.plan, failure)
            left = end - self.clock()
            if not failure.transient or left <= 0 or self.stopped():
                return failure, attempts
            _reports().retried(self.plan, failure, pause, attempts)
            if not failure.is_outage:
                self.sleep(min(pause, left))

    def _turn(self, outage: Outage) -> Turn:
        patience = self.plan.options.connect_retry_seconds
        # With retrying turned off, whoever connects wants to know how things are now.
        return outage.turn(patience, self.clock, self.stopped) if patience else Turn.CONNECT

    def _share(self, failure: Failure, outage: Outage, end: float, pause: float) -> None:
        """Tell the other threads of an attempt that found the server away."""
        now = self.clock()
        if outage.failed(failure.explanation, now, pause if now < end else LOOK_EVERY):
            _reports().outage_began(self.plan, outage, failure)

    def _attempt(self, params: Params, known: Group, limit: Deadline, end: float) -> Any:
        """Try all ways once, and tell the other threads if the server answered."""
        try:
            found = self._try_ways(params, limit)
            if known.outage.doubted and not isinstance(found, Failure):
                found = self._proven(found, params, limit)
        except BaseException:
            known.outage.abandoned()
            raise
        if isinstance(found, Failure) and not found.server_asked:
            known.outage.abandoned()
            return found
        if isinstance(found, Failure) and found.is_outage:
            return found
        now = self.clock()
        if (lasted := known.outage.over(now)) is not None:
            _reports().outage_ended(self.plan, lasted)
        if not isinstance(found, Failure) and now < end and roles.is_worth_waiting(self.plan, known.role, found, now):
            found.close()
            return Failure(self.driver.OperationalError(), roles.STILL_A_STANDBY)
        return found

    def _proven(self, connection: Any, params: Params, limit: Deadline) -> Any:
        """Return a connection, or a Failure if the server refuses a query.

        Silence may be a busy pooler's, which answers in turn, later than any deadline: that is the query's to wait for.
        """
        try:
            if health.answers(connection, min(health.ANSWER_WITHIN, limit.left() / 2)):
                return connection
        except self.driver.Error as error:
            connection.close()
            return Failure.of(error, self.driver, self.secrets())
        connection.close()
        return self._try_ways(params, limit)

    def _try_ways(self, params: Params, limit: Deadline) -> Any:
        failure: Failure | None = None
        after = After.NOTHING
        token = _NO_TOKEN
        for way in ways(self.plan, self.clock()):
            if way.after is not after:
                continue
            if way.fresh_token:
                _reports().token_refused(self.plan)
            login = _login(self, token if way.fresh_token else _NO_TOKEN, limit)
            if isinstance(login, Failure):
                # What the server said about the first token is the reason to look into.
                return failure or login
            token = login.get("password", token)
            started = self.clock()
            asked = {**params, **way.params}
            shorter = limit.connect_timeout(asked, len(self.plan.endpoints))
            found = self._call({**asked, **shorter, **login}, token)
            if not isinstance(found, Failure):
                if not way.settled:
                    learn(self.plan, way, found, self.clock() - started, self.clock())
                health.retransmit_evenly(found)
                return found
            failure = found.worth_waiting() if may_pass(self.plan, found.text, found.explanation) else found
            following = failure_of(way, failure.text, failure.explanation)
            if following is None:
                break
            after = following
        return failure

    def _call(self, params: Params, token: Secret) -> Any:
        try:
            return green.connected(self.driver, self.call, params, self.plan.endpoints)
        except ImproperlyConfigured:
            raise
        except Exception as error:  # noqa: BLE001 (psycopg2 raises what is not its own for what it can't decode)
            # Its frames refer to it and, with psycopg 3, to an open socket, until the next garbage collection.
            error.__traceback__ = None
            return Failure.of(error, self.driver, [*self.secrets(), *filter(None, [token])])
        except BaseException as interruption:
            # Without the driver's frames, in which the password stands.
            raise interruption.with_traceback(None) from None


def _known_to_be_down(door: Door, outage: Outage) -> Failure | None:
    explanation, seconds = outage.explanation, outage.seconds(door.clock())
    return explanation and Failure.without_connecting(door.driver.OperationalError(), explanation, seconds)


def _login(door: Door, refused: Secret, limit: Deadline) -> dict[str, Any] | Failure:
    """Return user and password if they are not the settings'.

    refused: a token that the server did not accept.
    """
    if door.plan.options.auth != "entra":
        return {}
    from azpg_backend.entra import login
    from azpg_backend.entra.tokens import WAIT, TokenError

    try:
        user, token = login.login_for(door.plan, refused, min(limit.left(), WAIT))
    except TokenError as error:
        return Failure.without_token(door.driver.OperationalError(), str(error))
    return {"user": user, "password": token.text}
