"""A diagnosis as Prometheus metrics, in the text format that the node exporter's textfile collector reads."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport, Status

_Sample = tuple[Mapping[str, str], float]


def render(outcome: Outcome) -> str:
    """Return the whole report as one exposition."""
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    reports = outcome.reports
    yield from _metric("info", "The version of django-azpg.", [({"version": outcome.version or "unknown"}, 1)])
    now = outcome.checked_at.timestamp()
    yield from _metric("last_run_timestamp_seconds", "When azpg_check ran.", [({}, now)])
    yield from _metric("interrupted", "Whether the run was interrupted.", [({}, outcome.interrupted)])
    yield from _metric(
        "success",
        "Whether nothing was at or above the fail level.",
        [({"alias": each.alias}, outcome.passes(each)) for each in reports],
    )
    yield from _metric(
        "duration_seconds",
        "How long the check of an alias took.",
        [({"alias": each.alias}, each.duration_ms / 1000) for each in reports],
    )
    yield from _steps(outcome)
    yield from _metric(
        "certificate_expiry_timestamp_seconds",
        "When the first certificate that the server sends ends.",
        [({"alias": each.alias}, ends) for each in reports if (ends := _first_end(each)) is not None],
    )
    yield from _metric(
        "forecast_break_timestamp_seconds",
        "The day on which an alias breaks by what has been announced; no sample if none is known.",
        [({"alias": each.alias}, day) for each in reports if (day := _break(each)) is not None],
    )


def _steps(outcome: Outcome) -> Iterator[str]:
    ran = [
        (report, step, {"alias": report.alias, "step": step.step})
        for report in outcome.reports
        for step in report.steps
        if step.status is not Status.SKIP
    ]
    yield from _metric(
        "step_success",
        "Whether a step was below the fail level; a step that did not run has no sample.",
        [({**labels, "code": step.code}, not outcome.counts(step)) for _, step, labels in ran],
    )
    yield from _metric(
        "step_warning",
        "Whether a step warned.",
        [({**labels, "code": step.code}, step.status is Status.WARN) for _, step, labels in ran],
    )
    yield from _metric(
        "step_duration_seconds", "How long a step took.", [(labels, step.duration_ms / 1000) for _, step, labels in ran]
    )


def _certificate(report: DatabaseReport) -> Mapping[str, Any]:
    return next((each.detail for each in report.steps if each.step == "certificate"), {})


def _first_end(report: DatabaseReport) -> float | None:
    chain = _certificate(report).get("chain", [])
    return min((datetime.datetime.fromisoformat(each["not_after"]).timestamp() for each in chain), default=None)


def _break(report: DatabaseReport) -> float | None:
    """Return the day on which the forecast says that an alias breaks."""
    forecast = _certificate(report).get("forecast")
    if not forecast or forecast["verdict"] != "breaks":
        return None
    day = datetime.datetime.fromisoformat(forecast["date"])
    return day.replace(tzinfo=datetime.timezone.utc).timestamp()


def _metric(name: str, meaning: str, samples: Iterable[_Sample]) -> Iterator[str]:
    """Yield the lines of one metric, all gauges; nothing for a metric without samples."""
    rows = list(samples)
    if rows:
        yield f"# HELP azpg_check_{name} {meaning}"
        yield f"# TYPE azpg_check_{name} gauge"
    for labels, value in rows:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"azpg_check_{name}{{{pairs}}} {float(value)!r}" if pairs else f"azpg_check_{name} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
