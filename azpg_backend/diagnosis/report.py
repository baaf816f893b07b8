"""What a diagnosis found, as frozen values; printing them is the renderers' job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from azpg_backend.errors.codes import STEPS as STEPS
from azpg_backend.errors.problem import Problem, Severity, combine, gravest_first
from azpg_backend.errors.redact import printable


class Status(str, Enum):
    PASS = "pass"  # noqa: S105 (not a password)
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


# Characters of a message; more is no message.
_LONGEST = 2000
_STATUS = {Severity.ERROR: Status.FAIL, Severity.WARNING: Status.WARN, Severity.NOTE: Status.PASS}


@dataclass(frozen=True)
class StepResult:
    """How one step went.

    code: "<step>.<name>", stable.
    message: what happened, with the value.
    hint: what to do, or None if there is nothing.
    duration_ms: milliseconds.
    detail: plain JSON values, documented in docs/check.md.
    problems: what was found, gravest first; empty for a pass and a skip.
    """

    step: str
    status: Status
    code: str
    message: str
    hint: str | None = None
    duration_ms: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def passed(step: str, message: str, **detail: Any) -> StepResult:
    return StepResult(step, Status.PASS, f"{step}.ok", printable(message, _LONGEST), None, detail=detail)


def failed(code: str, message: str, hint: str | None, **detail: Any) -> StepResult:
    return from_problems([Problem(code, message, hint or "")], **detail)


def from_problems(problems: Iterable[Problem], **detail: Any) -> StepResult:
    """Return how a step went that found problems; each of several stands in ``detail["problems"]`` as well."""
    ordered = gravest_first(problems)
    whole = combine(ordered)
    if len(ordered) > 1:
        detail["problems"] = [_row(each) for each in ordered]
    # A single message stays as it was written, with its full stop.
    message = ordered[0].message if len(ordered) == 1 else whole.message
    message, hint = printable(message, _LONGEST), printable(whole.hint, _LONGEST) or None
    status = _STATUS[whole.severity]
    return StepResult(whole.step, status, whole.code, message, hint, detail=detail, problems=tuple(ordered))


def _row(problem: Problem) -> dict[str, str]:
    return {
        "code": problem.code,
        "message": printable(problem.message, _LONGEST),
        "hint": printable(problem.hint, _LONGEST),
    }


def skipped(step: str, why: str) -> StepResult:
    return StepResult(step, Status.SKIP, f"{step}.skipped", why)


@dataclass(frozen=True)
class DatabaseReport:
    """The steps of one alias.

    psql: the command that connects in the same way, without any secret.
    duration_ms: milliseconds for the whole.
    settings: what the alias asks of Django and libpq, without any secret; for support.
    pem: the certificates that the server sent, as PEM; for support.
    """

    alias: str
    host: str
    port: int
    psql: str
    steps: tuple[StepResult, ...]
    duration_ms: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    pem: str = field(default="", repr=False)

    @property
    def ok(self) -> bool:
        """Whether no step failed; warnings don't count."""
        return not self.reaches(Status.FAIL)

    @property
    def worst(self) -> StepResult:
        """The first step of the gravest status."""
        gravest = [Status.FAIL, Status.WARN, Status.PASS, Status.SKIP]
        return min(self.steps, key=lambda step: gravest.index(step.status))

    def reaches(self, level: Status) -> bool:
        """Whether a step is at or above a level, WARN or FAIL."""
        levels = {Status.FAIL} if level is Status.FAIL else {Status.FAIL, Status.WARN}
        return any(step.status in levels for step in self.steps)
