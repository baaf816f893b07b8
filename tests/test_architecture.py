"""docs/architecture.md is what the code is: every package has its line, and imports nothing that stands below it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import azpg_backend

PACKAGE = Path(azpg_backend.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"


def table() -> dict[str, set[str]]:
    """Return the packages of the document, in its order, with those that they may import."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\|([^|]*)\|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", imports)) for name, imports in rows}


def real() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        inside = path.relative_to(PACKAGE).parts
        if inside == ("__init__.py",):
            continue
        room = inside[0].removesuffix(".py")
        found.setdefault(room, set()).update(imported(path) - {room})
    return found


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "azpg_backend":
            below = (node.module or "").split(".")[1:]
            names |= {below[0]} if below else {alias.name for alias in node.names}
    return names


def test_the_table_is_the_code() -> None:
    assert table() == real()


def test_no_import_points_back_up() -> None:
    order = list(table())
    for room, imports in table().items():
        assert all(order.index(each) < order.index(room) for each in imports), room


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_one_thing_and_says_so(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    if not tree.body:
        return
    first = (ast.get_docstring(tree) or "").split("\n")[0]
    assert first
    assert not re.search(r"\band\b", first), first


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_grows_too_long(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        limit = {ast.ClassDef: 150, ast.FunctionDef: 40}.get(type(node))
        if limit:
            lines = (node.end_lineno or 0) - node.lineno + 1  # type: ignore[attr-defined]
            assert lines <= limit, f"{node.name} has {lines} lines"  # type: ignore[attr-defined]
