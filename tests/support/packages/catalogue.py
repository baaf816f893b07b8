"""The packages that are compared, as tests/packages/packages.toml lists them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

FOLDER = Path(__file__).parents[2] / "packages"
FILE = FOLDER / "packages.toml"
NO_TESTS = "its source package has no tests"


@dataclass(frozen=True)
class Suite:
    """The tests in a package's source distribution.

    settings: its own settings module, of which DATABASES gets the server under test. databases: names by aliases, of
    which it lacks some. folder: where they run. path: folders for PYTHONPATH; both below the source. engine: a
    replacement for the engine under test. overrides: settings to replace; "{engine}" in them is the engine under test.
    before: a command of Django's that is run first. arguments: for its runner. requirements: what it needs beside the
    package. superuser: whether its role has to be one. programs: whether it runs psql, which then finds the server.
    part: what its arguments choose, if not all of them. variables: of its environment; "{host}" and "{port}" in them
    are the server's. In engine and overrides, "{named}" is the engine under test by a name with "postgresql" in it.
    """

    settings: str
    runner: str
    folder: str = "."
    path: tuple[str, ...] = (".",)
    engine: str = "{engine}"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    superuser: bool = False
    programs: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    databases: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """One package: how it is installed, and what is run.

    drivers: extras of this project that bring Django's driver, one run for each. mended: tests that fail with Django's
    engine and pass with this one, with what that shows. explained: tests that go another way here, with the reason.
    without: why its own tests are not run, which for NO_TESTS is looked up.
    """

    name: str
    group: str
    requirements: tuple[str, ...]
    drivers: tuple[str, ...] = ("psycopg2", "psycopg3")
    quick: bool = False
    mended: Mapping[str, str] = field(default_factory=dict)
    explained: Mapping[str, str] = field(default_factory=dict)
    without: str = ""
    suite: Suite | None = None

    @property
    def scenario(self) -> Path:
        return FOLDER / f"{self.name.replace('-', '_').lower()}.py"

    @property
    def what(self) -> str:
        """What is run, in the words of the scenario's docstring."""
        found = []
        if self.suite is not None:
            found.append(f"its own tests of {self.suite.part}" if self.suite.part else "its own tests")
        if self.scenario.exists():
            said = ast.get_docstring(ast.parse(self.scenario.read_text("utf-8"))) or ""
            found.append(" ".join(said.split()).rstrip("."))
        return "; ".join(found)


def load() -> dict[str, Package]:
    found = {}
    for name, entry in tomllib.loads(FILE.read_text("utf-8")).items():
        suite = entry.pop("suite", None)
        found[name] = Package(name=name, suite=Suite(**_fixed(suite)) if suite else None, **_fixed(entry))
    return found


def _fixed(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
