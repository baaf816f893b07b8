"""A diagnosis as JSON, version 1: the contract for scripts."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult

VERSION = 1


def render(databases: Iterable[DatabaseReport], level: Status = Status.FAIL, *, interrupted: bool = False) -> str:
    """Return the whole report as one JSON document.

    level: from which "ok" is false.
    interrupted: whether the check was ended before its end.
    """
    rows = [_database(database, level) for database in databases]
    document = {
        "version": VERSION,
        "azpg_version": _own_version(),
        "checked_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "ok": not interrupted and all(row["ok"] for row in rows),
        "databases": rows,
    }
    return json.dumps({**document, "interrupted": True} if interrupted else document, indent=2)


def _own_version() -> str | None:
    try:
        return metadata.version("django-azpg")
    except metadata.PackageNotFoundError:
        # A copy of the source that was never installed.
        return None


def _database(database: DatabaseReport, level: Status) -> dict[str, Any]:
    return {
        "alias": database.alias,
        "host": database.host,
        "port": database.port,
        "ok": not database.reaches(level),
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
