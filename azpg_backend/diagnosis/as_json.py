"""A diagnosis as JSON, version 1: the contract for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from azpg_backend.diagnosis.report import DatabaseReport, StepResult

VERSION = 1


def render(databases: Iterable[DatabaseReport]) -> str:
    """Return the whole report as one JSON document."""
    rows = [_database(database) for database in databases]
    return json.dumps({"version": VERSION, "ok": all(row["ok"] for row in rows), "databases": rows}, indent=2)


def _database(database: DatabaseReport) -> dict[str, Any]:
    return {
        "alias": database.alias,
        "host": database.host,
        "port": database.port,
        "ok": database.ok,
        "psql": database.psql,
        "steps": [_step(step) for step in database.steps],
    }


def _step(step: StepResult) -> dict[str, Any]:
    return {
        "step": step.step,
        "status": step.status.value,
        "code": step.code,
        "message": step.message,
        "hint": step.hint,
        "duration_ms": step.duration_ms,
        "detail": dict(step.detail),
    }
