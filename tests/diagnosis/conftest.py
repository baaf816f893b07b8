from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.report import DatabaseReport, StepResult
from azpg_backend.diagnosis.runner import diagnose
from azpg_backend.errors import explain, redact

Check = Callable[..., dict[str, StepResult]]


DOCUMENT = Path(__file__).parents[2] / "docs" / "scenarios.md"
_HEAD = """\
# Scenarios

What `manage.py azpg_check` says where libpq says what stands beside it. Written by the tests as they ran, with
`python -m pytest tests/diagnosis --write-scenarios` and psycopg2; psycopg 3's libpq differs in a few words.

"""


class Scenarios:
    """The rows of docs/scenarios.md, as the tests met them."""

    def __init__(self) -> None:
        self.rows: set[tuple[str, str, str, str]] = set()

    def add(self, group: str, name: str, code: str, error: BaseException | str) -> None:
        text = explain.driver_text(error) if isinstance(error, BaseException) else error
        said = re.sub(r"^.*?connection to server at [^:]* failed: ", "", text.strip().splitlines()[0])
        self.rows.add((group, name, code, redact.printable(said)))

    def write(self) -> None:
        lines = [_HEAD]
        for group in sorted({row[0] for row in self.rows}):
            lines.append(f"## {group}\n\n| scenario | code | libpq says |\n| --- | --- | --- |\n")
            rows = sorted(row[1:] for row in self.rows if row[0] == group)
            lines += [f"| {name} | `{code}` | {said.replace('|', chr(92) + '|')} |\n" for name, code, said in rows]
            lines.append("\n")
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text("".join(lines).rstrip("\n") + "\n", "utf-8")


@pytest.fixture(scope="session")
def scenarios(request: pytest.FixtureRequest) -> Iterator[Scenarios]:
    met = Scenarios()
    yield met
    if request.config.getoption("--write-scenarios"):
        met.write()


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
