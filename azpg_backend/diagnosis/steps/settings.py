"""settings: is this alias safe?"""

from __future__ import annotations

import os
import re

from azpg_backend import trust
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.diagnosis.step import Step
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan import libpq
from azpg_backend.trust import ca_file

# Variables that would weaken another program's connection and have no effect on this one: people who set them should
# know.
_OVERRULED = ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGGSSENCMODE")

# Words of OpenSSL's configuration that let in what its defaults keep out.
_WEAKENING = re.compile(
    r"SECLEVEL\s*=\s*0|\b[ea]NULL\b(?<![!-][ea]NULL)|\bNULL-|COMPLEMENTOFALL|=\s*(?:TLSv1|TLSv1\.0|SSLv3)\s*$"
)
_LONGEST_CONFIGURATION = 256 * 1024


def run(context: Context) -> StepResult:
    plan = context.plan
    problems = [*plan.problems, *_weakened_openssl()]
    params = {key: str(value) for key, value in plan.params.items()}
    if "sslrootcert" in params:
        params["sslrootcert"] = ca_file.shown(params["sslrootcert"])
    detail = {
        "findings": [
            {"id": each.id, "code": each.code, "message": each.message, "hint": each.hint} for each in problems
        ],
        "parameters": params,
        "ignored_environment": [name for name in _OVERRULED if name in os.environ],
        "openssl_conf": os.environ.get("OPENSSL_CONF"),
        "libpq": libpq.version_text(),
    }
    return from_problems(problems, **detail) if problems else passed("settings", _summary(context), **detail)


def _weakened_openssl() -> list[Problem]:
    """Look into the file that OPENSSL_CONF names: what it allows, every OpenSSL of this process allows, libpq's too."""
    path = os.environ.get("OPENSSL_CONF", "")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(_LONGEST_CONFIGURATION).splitlines()
    except (OSError, ValueError):
        return []
    weak = [line.strip() for line in lines if _WEAKENING.search(line.partition("#")[0])]
    if not weak:
        return []
    return [
        Problem(
            "settings.weak_tls",
            f"the environment's OPENSSL_CONF ({path}) weakens every TLS connection of this process: {weak[0]!r}",
            "Remove OPENSSL_CONF from the application's environment, or the line from the file. No setting of this "
            "backend can override it.",
            Severity.WARNING,
        )
    ]


def _summary(context: Context) -> str:
    params = context.plan.params
    if context.plan.plaintext:
        return f"sslmode {params['sslmode']} on this machine only (plaintext_on_loopback), libpq {libpq.version_text()}"
    path = str(params["sslrootcert"])
    roots = "the roots in this package" if path == trust.BUNDLE else ca_file.shown(path)
    newest = f" to {params['ssl_max_protocol_version']}" if params.get("ssl_max_protocol_version") else " or newer"
    also = ", OPENSSL_CONF is set" if os.environ.get("OPENSSL_CONF") else ""
    return (
        f"{params['sslmode']} against {roots}, {params['ssl_min_protocol_version']}{newest}, "
        f"libpq {libpq.version_text()}{also}"
    )


STEP = Step("settings", run, late="settings.invalid", late_hint="A disk or network folder does not answer.")
