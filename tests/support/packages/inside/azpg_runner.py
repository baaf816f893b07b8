"""Django's test runner, which also writes what became of each test."""

from __future__ import annotations

from typing import Any
from unittest import TextTestResult

from azpg_recorder import outcomes, write
from django.test.runner import DiscoverRunner


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
