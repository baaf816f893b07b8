"""What a diagnosis found, as frozen values; printing them is the renderers' job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Status(str, Enum):
    PASS = "pass"  # noqa: S105 (not a password)
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


# The codes of each step, in the order in which the steps run. Each step also has "<step>.ok" when it passes and
# "<step>.skipped" when it was not run.
CODES: Mapping[str, tuple[str, ...]] = {
    "settings": ("invalid", "weak_tls", "verify_ca", "missing_host", "not_azure_host"),
    "ca": (
        "download_failed",
        "fingerprint_mismatch",
        "file_missing",
        "file_invalid",
        "root_missing",
        "not_a_root",
        "root_expiring",
    ),
    "dns": ("not_found", "temporary_failure", "timeout"),
    "tcp": ("refused", "timeout", "unreachable", "reset"),
    "tls": ("not_offered", "protocol_version", "handshake_failed", "closed", "timeout", "not_postgresql"),
    "certificate": (
        "expired",
        "not_yet_valid",
        "host_mismatch",
        "self_signed",
        "untrusted_root",
        "incomplete_chain",
        "wrong_purpose",
        "weak",
        "expiring",
    ),
    "login": (
        "wrong_password",
        "no_hba_entry",
        "unknown_database",
        "permission_denied",
        "too_many_connections",
        "starting_up",
        "token_failed",
        "tls_refused",
        "timeout",
        "failed",
    ),
    "session": ("read_only", "tls_not_confirmed", "unsupported_version", "failed"),
}
STEPS = tuple(CODES)


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
