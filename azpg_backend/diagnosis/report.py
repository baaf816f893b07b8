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


_STATUS = {Severity.ERROR: Status.FAIL, Severity.WARNING: Status.WARN, Severity.NOTE: Status.PASS}


@dataclass(frozen=True)
class StepResult:
    """How one step went.

    code: "<step>.<name>", stable. message: what happened, with the value. hint: what to do, or None where nothing is.
    duration_ms: milliseconds. detail: plain JSON values, documented in README.
    """

    step: str
    status: Status
    code: str
    message: str
    hint: str | None = None
    duration_ms: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)


def passed(step: str, message: str, **detail: Any) -> StepResult:
    return StepResult(step, Status.PASS, f"{step}.ok", message, None, detail=detail)


def warned(code: str, message: str, hint: str | None, **detail: Any) -> StepResult:
    return StepResult(code.partition(".")[0], Status.WARN, code, message, hint, detail=detail)


def failed(code: str, message: str, hint: str | None, **detail: Any) -> StepResult:
    return StepResult(code.partition(".")[0], Status.FAIL, code, message, hint, detail=detail)


def from_problems(problems: Iterable[Problem], **detail: Any) -> StepResult:
    """Return how a step went that found problems; each of several stands in ``detail["problems"]`` as well."""
    ordered = gravest_first(problems)
    whole = combine(ordered)
    if len(ordered) > 1:
        rows = [(each.code, printable(each.message, 2000), printable(each.hint, 2000)) for each in ordered]
        detail["problems"] = [dict(zip(("code", "message", "hint"), row, strict=True)) for row in rows]
    message, hint = printable(whole.message, 2000), printable(whole.hint, 2000) or None
    return StepResult(whole.step, _STATUS[whole.severity], whole.code, message, hint, detail=detail)


def skipped(step: str, why: str) -> StepResult:
    return StepResult(step, Status.SKIP, f"{step}.skipped", why)


@dataclass(frozen=True)
class DatabaseReport:
    """The eight steps of one alias. psql: the command that connects in the same way, without any secret."""

    alias: str
    host: str
    port: int
    psql: str
    steps: tuple[StepResult, ...]

    @property
    def ok(self) -> bool:
        """Whether no step failed; warnings don't count."""
        return not any(step.status is Status.FAIL for step in self.steps)

    def reaches(self, level: Status) -> bool:
        """Whether a step is at or above a level, WARN or FAIL."""
        levels = {Status.FAIL} if level is Status.FAIL else {Status.FAIL, Status.WARN}
        return any(step.status in levels for step in self.steps)
