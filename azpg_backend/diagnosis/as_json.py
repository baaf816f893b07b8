"""A diagnosis as JSON, version 1: the contract for scripts."""

from __future__ import annotations

import json
from typing import Any

from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult

VERSION = 1


def render(outcome: Outcome) -> str:
    """Return the whole report as one JSON document; docs/azpg_check.schema.json describes it."""
    document = {
        "version": VERSION,
        "azpg_version": outcome.version,
        "checked_at": outcome.checked_at.isoformat(),
        "ok": outcome.ok,
        "databases": [_database(each, outcome) for each in outcome.reports],
    }
    return json.dumps({**document, "interrupted": True} if outcome.interrupted else document, indent=2)


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
