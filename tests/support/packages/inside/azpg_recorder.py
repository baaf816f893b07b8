"""Writes what became of each test to the file AZPG_OUTCOMES: a plugin for pytest, and a runner for Django.

It runs among a package's own tests, so it imports nothing of this project.
"""

from __future__ import annotations

import json
import os
from typing import Any
from unittest import TextTestResult

from django.test.runner import DiscoverRunner

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


class _Result(TextTestResult):
    def startTest(self, test: Any) -> None:
        super().startTest(test)
        outcomes.setdefault(test.id(), "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        outcomes[test.id()] = "failed"

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        outcomes[test.id()] = "error"

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        outcomes[test.id()] = "skipped"

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        outcomes[test.id()] = "xfailed"

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            outcomes[test.id()] = "failed"


class Runner(DiscoverRunner):
    def get_resultclass(self) -> Any:
        return _Result

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> Any:
        write()
        return super().suite_result(suite, result, **kwargs)
