"""The versions that are said to be supported are those that are tested, each with each."""

from __future__ import annotations

import ast
import re
from itertools import combinations

from tests.support.examples import ROOT

DRIVERS = {"psycopg2": "psycopg2", "psycopg3": "psycopg 3"}
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
PAGE = (ROOT / "docs" / "support.md").read_text("utf-8")


def declared(name: str) -> tuple[tuple[str, ...], ...]:
    """Return a table of noxfile.py, which can't be imported without nox."""
    for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            found: tuple[tuple[str, ...], ...] = ast.literal_eval(node.value)
            return found
    raise LookupError(name)


ROWS = declared("SUPPORT")


def goes_together(pair: tuple[tuple[int, str], tuple[int, str]]) -> bool:
    """Django 6 needs Python 3.12."""
    found = dict(pair)
    return not (found.get(1, "5").startswith("6") and found.get(0, "3.12") in ("3.10", "3.11"))


def pairs(rows: tuple[tuple[str, ...], ...]) -> set[tuple[tuple[int, str], tuple[int, str]]]:
    return {pair for row in rows for pair in combinations(enumerate(row), 2)}


def test_each_pair_is_tested_in_the_fewest_rows() -> None:
    values = [sorted({row[column] for row in ROWS}) for column in range(4)]
    wanted = {
        ((first, one), (second, other))
        for first, second in combinations(range(4), 2)
        for one in values[first]
        for other in values[second]
    }
    assert pairs(ROWS) == set(filter(goes_together, wanted))
    # Each Python meets each PostgreSQL, which takes that many.
    assert len(ROWS) == len(values[0]) * len(values[3])


def test_the_page_shows_the_rows() -> None:
    shown = re.findall(r"^\| (\d\.\d+) \| (\S+) \| ([^|]+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert shown == [(python, django, DRIVERS[driver], server) for python, django, driver, server in ROWS]


def test_the_classifiers_are_what_is_tested() -> None:
    for column, name in ((0, "Programming Language :: Python"), (1, "Framework :: Django")):
        assert set(re.findall(rf'"{name} :: (\d+\.\d+)"', PYPROJECT)) == {row[column] for row in ROWS}


def test_readme_names_the_same_versions() -> None:
    readme = (ROOT / "README.md").read_text("utf-8").partition("## Requirements")[2].partition("## ")[0]
    rows = re.findall(r"^\| (?:Python|Django|driver) \|.*$", PAGE, re.M)[:3]
    version = r"\d+\.\d+(?:\.\d+)?"
    assert re.findall(version, readme) == re.findall(version, "".join(rows)) != []
