"""Run the check in tests, and write down the scenarios that they met."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command

from azpg_backend.diagnosis.report import DatabaseReport, StepResult
from azpg_backend.errors import explain, redact

Report = Callable[..., DatabaseReport]
Check = Callable[..., dict[str, StepResult]]

DOCUMENT = Path(__file__).parents[2] / "docs" / "scenarios.md"
_HEAD = """\
# Scenarios

The code that `manage.py azpg_check` gives, and libpq's own words for the same. Written by the tests as they ran, with
`python -m pytest tests/diagnosis --write-scenarios` and psycopg2; psycopg 3's libpq differs in a few words.

"""


class Scenarios:
    """The rows of docs/scenarios.md, as the tests met them."""

    def __init__(self) -> None:
        self.rows: set[tuple[str, str, str, str]] = set()

    def add(self, group: str, name: str, code: str, error: BaseException | str) -> None:
        text = explain.of_driver(error, []).words if isinstance(error, BaseException) else error
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


def codes(steps: dict[str, StepResult]) -> list[str]:
    """Return the code of each step that did not pass and was not skipped, but for the private root's warning."""
    return [
        step.code for step in steps.values() if step.status.value in {"warn", "fail"} and step.code != "ca.root_missing"
    ]


def step(name: str, *arguments: str) -> dict[str, Any]:
    """Run azpg_check as a command for the one alias, and return a step of its JSON."""
    out = StringIO()
    with contextlib.suppress(SystemExit):
        call_command("azpg_check", "--offline", "--format", "json", *arguments, stdout=out)
    (database,) = json.loads(out.getvalue())["databases"]
    return next(each for each in database["steps"] if each["step"] == name)
