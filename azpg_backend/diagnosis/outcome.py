"""The outcome of one run of the check: what every format is made from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata

from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult


def own_version() -> str | None:
    """Return this package's version, or None for a copy of the source that was never installed."""
    try:
        return metadata.version("django-azpg")
    except metadata.PackageNotFoundError:
        return None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


@dataclass(frozen=True)
class Outcome:
    """What one run found.

    level: from which a step counts as failed.
    seconds: how long the run took.
    interrupted: whether it was ended before its end.
    """

    reports: Sequence[DatabaseReport]
    level: Status = Status.FAIL
    seconds: float = 0.0
    interrupted: bool = False
    checked_at: datetime.datetime = field(default_factory=_now)
    version: str | None = field(default_factory=own_version)

    @property
    def ok(self) -> bool:
        return not self.interrupted and all(map(self.passes, self.reports))

    def passes(self, report: DatabaseReport) -> bool:
        return not report.reaches(self.level)

    def counts(self, step: StepResult) -> bool:
        """Whether a step is at or above the level, so that the exit status is 1."""
        return step.status is Status.FAIL or (step.status is Status.WARN and self.level is Status.WARN)
