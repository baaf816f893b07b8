"""Imports point one way: errors, then the roots' path, then the plan. Nothing here needs a network or a driver."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from azpg_backend import plan

MODULES = sorted(Path(plan.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_plan_imports_only_what_is_below_it(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("azpg_backend"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            below = ("azpg_backend.errors.", "azpg_backend.plan.")
            assert all(name.startswith(below) or name == "azpg_backend.trust" for name in names), names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_one_thing_and_its_parts_are_short(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert " and " not in (ast.get_docstring(tree) or "").partition("\n")[0]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            assert (node.end_lineno or 0) - node.lineno < (40 if isinstance(node, ast.FunctionDef) else 150), node.name
