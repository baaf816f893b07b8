from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from azpg_backend.diagnosis.report import DatabaseReport, StepResult
from azpg_backend.diagnosis.roots import Roots
from azpg_backend.diagnosis.runner import diagnose

Check = Callable[..., dict[str, StepResult]]


@pytest.fixture
def report(connect: Callable[..., Any]) -> Callable[..., DatabaseReport]:
    """Return a function that diagnoses settings, offline unless told otherwise."""

    def run(settings: dict[str, Any], timeout: float = 5, alias: str = "default", **options: Any) -> DatabaseReport:
        roots = Roots(**{"offline": True, "timeout": timeout, "update": False, "export": None, **options})
        (result,) = diagnose([connect(settings, alias)], roots, timeout, lambda alias, step: None)
        return result

    return run


@pytest.fixture
def check(report: Callable[..., DatabaseReport]) -> Check:
    """The same, as a dict of steps."""

    def run(settings: dict[str, Any], **options: Any) -> dict[str, StepResult]:
        return {step.step: step for step in report(settings, **options).steps}

    return run


def codes(steps: dict[str, StepResult]) -> list[str]:
    """Return the code of each step that did not pass and was not skipped, but for the private root's warning."""
    return [
        step.code for step in steps.values() if step.status.value in {"warn", "fail"} and step.code != "ca.root_missing"
    ]
