"""Settings to start from, and short names for what a plan says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azpg_backend.plan.decision import Plan, decide

HOST = "mydemoserver.postgres.database.azure.com"


def planned_settings() -> dict[str, Any]:
    """Return settings for a server that nobody connects to."""
    return {"ENGINE": "azpg_backend", "NAME": "app", "USER": "app", "HOST": "demo.postgres.database.azure.com"}


def planned(options: Any = None, environ: Mapping[str, str] | None = None, **changes: Any) -> Plan:
    """Decide for good settings with changes."""
    given = {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "USER": "me",
        "PASSWORD": "gfa7Kq!z",
        "HOST": HOST,
        "PORT": "",
        "OPTIONS": {} if options is None else options,
        **changes,
    }
    return decide("default", given, environ=environ or {})


def ids(plan: Plan) -> list[str]:
    return [each.id for each in plan.problems]


def only(plan: Plan) -> str:
    """Return the text of a plan's one problem."""
    (problem,) = plan.problems
    return str(problem)
