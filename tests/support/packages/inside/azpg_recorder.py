"""Writes what became of each test to the file AZPG_OUTCOMES: a plugin for pytest.

It runs among a package's own tests, so it imports nothing of this project; nor of Django, before gevent has patched.
"""

from __future__ import annotations

import json
import os
from typing import Any

outcomes: dict[str, str] = {}


def write() -> None:
    with open(os.environ["AZPG_OUTCOMES"], "w", encoding="utf-8") as file:
        json.dump(outcomes, file)


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        elif report.failed and report.when != "call":
            outcome = "error"
        outcomes[report.nodeid] = outcome


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        outcomes[report.nodeid] = "error"


def pytest_sessionfinish(session: Any) -> None:
    if not hasattr(session.config, "workerinput"):
        write()
