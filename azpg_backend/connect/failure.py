"""A connect that came to nothing: what to raise, and what it means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from azpg_backend.errors import explain
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem

_UNKNOWN = Problem("login.failed", "")


@dataclass(frozen=True)
class Failure:
    """error: the driver's exception, without the frames that it came through: they hold passwords.
    explanation: what it means.
    text: the driver's own words, in which a secret may stand.
    """

    error: Exception = field(repr=False)
    explanation: Explanation
    text: str = field(default="", repr=False)

    @classmethod
    def of(cls, error: Exception, driver: Any, secrets: Iterable[str]) -> Failure:
        """Return what a driver's connect() raised; what is no exception of the driver becomes one."""
        explanation = explain.of_driver(error, secrets)
        text = str(error)
        if not isinstance(error, driver.Error):
            error = driver.OperationalError()
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return cls(error, explanation, text)

    @classmethod
    def without_token(cls, error: Exception, words: str) -> Failure:
        return cls(error, explain.of_token(words))

    @property
    def problem(self) -> Problem:
        return self.explanation.problem or _UNKNOWN

    @property
    def transient(self) -> bool:
        return self.problem.transient

    @property
    def is_outage(self) -> bool:
        """Whether the server is away for everybody, and not only full, or in another role than wanted."""
        return self.transient and self.problem.code in {"login.failed", "login.timeout", "login.starting_up"}

    def copy(self) -> Failure:
        """Return the same for another thread, which raises an exception of its own."""
        return Failure(type(self.error)(), self.explanation, self.text)

    def explained(self, alias: str) -> Exception:
        """Return the exception to raise."""
        explain.attach(self.error, self.explanation, alias)
        return self.error
