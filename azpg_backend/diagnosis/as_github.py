"""A diagnosis as GitHub's workflow commands, which a run shows as annotations."""

from __future__ import annotations

from collections.abc import Iterator

from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult
from azpg_backend.errors.redact import printable


def render(outcome: Outcome) -> str:
    """Return one line for each step that warns or fails, and one for the whole.

    GitHub shows ten errors and ten warnings of a step and drops the rest, so those that fail come first.
    """
    return "\n".join([*_errors_first(outcome), _command("notice", "azpg_check", _summary(outcome))])


def _errors_first(outcome: Outcome) -> list[str]:
    found = [(not outcome.counts(step), report, step) for report in outcome.reports for step in _troubled(report)]
    found.sort(key=lambda each: each[0])
    return [_annotation(report, step, "warning" if mild else "error") for mild, report, step in found]


def _troubled(report: DatabaseReport) -> Iterator[StepResult]:
    return (step for step in report.steps if step.status in {Status.WARN, Status.FAIL})


def _annotation(report: DatabaseReport, step: StepResult, kind: str) -> str:
    lines = [f"{step.message}", step.hint or "", f"See {address_of(step.code)}"]
    return _command(kind, f"{printable(report.alias)}: {step.code}", "\n".join(filter(None, lines)))


def _summary(outcome: Outcome) -> str:
    failed = [printable(report.alias) for report in outcome.reports if not outcome.passes(report)]
    ended = " (interrupted)" if outcome.interrupted else ""
    passed = len(outcome.reports) - len(failed)
    return f"{passed} ok, {len(failed)} failed{ended}" + (f": {', '.join(failed)}" if failed else "")


def _command(kind: str, title: str, message: str) -> str:
    return f"::{kind} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Escape as GitHub's own toolkit does (``escapeData`` in @actions/core), so that no text begins a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
