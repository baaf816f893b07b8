"""A test runner for Django's own suite that writes the outcome of each test to the file AZPG_SUITE_OUTCOMES."""

from __future__ import annotations

import json
import os
import unittest
from typing import Any

from django.test.runner import DiscoverRunner

# The worst one counts, as a test with subtests has several.
KINDS = ("passed", "skipped", "expected failure", "unexpected success", "failed", "error")


class RecordingResult(unittest.TextTestResult):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, tuple[str, str]] = {}

    def _note(self, test: unittest.TestCase, kind: str, why: str = "") -> None:
        # A subtest counts for its test: its own id has values in it that differ from run to run.
        name = getattr(test, "test_case", test).id()
        before = self.outcomes.get(name)
        if before is None or KINDS.index(before[0]) < KINDS.index(kind):
            self.outcomes[name] = (kind, why)

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._note(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "expected failure")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "unexpected success")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", _why(err))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "error", _why(err))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed" if issubclass(err[0], test.failureException) else "error", _why(err))

    def stopTestRun(self) -> None:
        super().stopTestRun()
        with open(os.environ["AZPG_SUITE_OUTCOMES"], "w", encoding="utf-8") as file:
            json.dump(self.outcomes, file, indent=0)


def _why(err: Any) -> str:
    lines = f"{err[0].__name__}: {err[1]}".splitlines()
    return lines[0][:300]


class Runner(DiscoverRunner):
    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return RecordingResult
