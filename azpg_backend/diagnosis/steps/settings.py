"""settings: is this alias safe, and what will libpq be told?"""

from __future__ import annotations

import os

from azpg_backend import trust
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, failed, passed, warned
from azpg_backend.plan import libpq

# Variables that would weaken another program's connection and have no effect on this one: people who set them should
# know.
_OVERRULED = ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGGSSENCMODE")


def run(context: Context) -> StepResult:
    plan = context.plan
    detail = {
        "findings": [
            {"id": each.id, "code": each.code, "message": each.message, "hint": each.hint} for each in plan.problems
        ],
        "parameters": {key: str(value) for key, value in plan.params.items()},
        "ignored_environment": [name for name in _OVERRULED if name in os.environ],
        "libpq": libpq.version_text(),
    }
    if not plan.problems:
        return passed("settings", _summary(context), **detail)
    # The gravest first; the others follow in the same words.
    ordered = sorted(plan.problems, key=lambda each: not each.is_error)
    message = " ".join(each.message for each in ordered)
    hint = " ".join(dict.fromkeys(each.hint for each in ordered))
    result = failed if ordered[0].is_error else warned
    return result(ordered[0].code, message, hint, **detail)


def _summary(context: Context) -> str:
    params = context.plan.params
    if context.plan.plaintext:
        return f"sslmode {params['sslmode']} on this machine only (plaintext_on_loopback), libpq {libpq.version_text()}"
    roots = "the roots in this package" if params["sslrootcert"] == trust.BUNDLE else params["sslrootcert"]
    newest = f" to {params['ssl_max_protocol_version']}" if params.get("ssl_max_protocol_version") else " or newer"
    return (
        f"{params['sslmode']} against {roots}, {params['ssl_min_protocol_version']}{newest}, "
        f"libpq {libpq.version_text()}"
    )
