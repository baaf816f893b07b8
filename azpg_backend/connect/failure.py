"""A connect that came to nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from azpg_backend.errors import explain
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem

_UNKNOWN = Problem("login.failed", "")


@dataclass(frozen=True)
class Failure:
    """error: an exception of the driver's kind, without the frames that it came through: they hold passwords.
    explanation: what it means.
    text: the driver's own words, in which a secret may stand.
    server_asked: False if it failed before, for want of a token.
    """

    error: Exception = field(repr=False)
    explanation: Explanation
    text: str = field(default="", repr=False)
    server_asked: bool = True

    @classmethod
    def of(cls, error: Exception, driver: Any, secrets: Iterable[str]) -> Failure:
        """Return what a driver's connect() raised; what is no exception of the driver becomes one."""
        explanation = explain.of_driver(error, secrets)
        text = str(error)
        # A new one, for the driver's has frames, causes and (psycopg) an attribute that hold the password.
        kind = type(error) if isinstance(error, driver.Error) else driver.OperationalError
        return cls(kind(), explanation, text)

    @classmethod
    def without_token(cls, error: Exception, words: str) -> Failure:
        return cls(error, explain.of_token(words), server_asked=False)

    @classmethod
    def without_connecting(cls, error: Exception, last: Explanation, seconds: float) -> Failure:
        """Return what somebody else's attempt met last, in an outage of so many seconds."""
        words = f"not tried again, for no connect has succeeded for {seconds:.0f} s: {last.words}"
        return cls(error, last._replace(words=words))

    @property
    def problem(self) -> Problem:
        return self.explanation.problem or _UNKNOWN

    @property
    def transient(self) -> bool:
        return self.problem.transient

    @property
    def is_outage(self) -> bool:
        """Whether nobody would get in with these settings, so that one who looks is enough; a full server lets some in.

        That no server is of the kind that target_session_attrs asks for counts, as in a promotion.
        """
        return self.transient and self.problem.code in {"login.failed", "login.timeout", "login.starting_up"}

    def worth_waiting(self) -> Failure:
        """Return the same, with a reason that may pass."""
        problem = dataclasses.replace(self.problem, transient=True)
        return dataclasses.replace(self, explanation=self.explanation._replace(problem=problem))

    def copy(self) -> Failure:
        """Return the same for another thread, which raises an exception of its own."""
        return dataclasses.replace(self, error=type(self.error)())

    def explained(self, alias: str) -> Exception:
        """Return the exception to raise."""
        explain.attach(self.error, self.explanation, alias)
        return self.error
