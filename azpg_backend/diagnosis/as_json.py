"""A diagnosis as JSON, version 1: the contract for scripts."""

from __future__ import annotations

import json
from typing import Any

from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult

VERSION = 1
# document, its databases, one of them, its steps, and then one of these
_STEP_DEPTH = 4


def render(outcome: Outcome) -> str:
    """Return the whole report as one JSON document; docs/azpg_check.schema.json describes it."""
    document = {
        "version": VERSION,
        "azpg_version": outcome.version,
        "checked_at": outcome.checked_at.isoformat(),
        "ok": outcome.ok,
        "databases": [_database(each, outcome) for each in outcome.reports],
    }
    return _laid_out({**document, "interrupted": True} if outcome.interrupted else document)


def _laid_out(value: Any, depth: int = 0) -> str:
    """Return JSON in which each step of each alias has a line of its own.

    Not json.dumps(indent=2), which is written in Python: a millisecond for each alias.
    """
    if depth == _STEP_DEPTH or not value or not isinstance(value, (dict, list)):
        return json.dumps(value)
    inside = "\n" + "  " * (depth + 1)
    if isinstance(value, dict):
        rows = [f"{json.dumps(key)}: {_laid_out(each, depth + 1)}" for key, each in value.items()]
    else:
        rows = [_laid_out(each, depth + 1) for each in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + inside + ("," + inside).join(rows) + "\n" + "  " * depth + closing


def _database(database: DatabaseReport, outcome: Outcome) -> dict[str, Any]:
    return {
        "alias": database.alias,
        "host": database.host,
        "port": database.port,
        "ok": outcome.passes(database),
        "psql": database.psql,
        "duration_ms": database.duration_ms,
        "steps": [_step(step) for step in database.steps],
    }


def _step(step: StepResult) -> dict[str, Any]:
    return {
        "step": step.step,
        "status": step.status.value,
        "code": step.code,
        "message": step.message,
        "hint": step.hint,
        "docs": address_of(step.code) if step.status in {Status.WARN, Status.FAIL} else None,
        "duration_ms": step.duration_ms,
        "detail": dict(step.detail),
    }
