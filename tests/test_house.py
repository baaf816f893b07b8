"""The rules of this folder: support is shared, tests and conftests are not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{each.name}" for each in node.names)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_tests_import_nothing_of_tests_but_support(path: Path) -> None:
    ours = [name for name in imported(path) if name.startswith((".", "tests."))]
    assert [name for name in ours if not name.startswith("tests.support.")] == []


def test_hooks_need_no_git_host() -> None:
    """They come from the package index, and ruff is the one that the hooks' configuration pins twice."""
    text = (TESTS.parent / ".pre-commit-config.yaml").read_text("utf-8")
    assert set(re.findall(r"repo: (\S+)", text)) == {"local"}
    assert len(set(re.findall(r"ruff==([\d.]+)", text))) == 1
