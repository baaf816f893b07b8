"""Every fenced block is run by a test, or says why none can."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.support.examples import ROOT, RUNS, Example, Run, examples, runner


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("example", examples(), ids=lambda each: each.name)
def test_a_block_is_run(example: Example) -> None:
    found = runner(example)
    assert found, (
        f"{example.name} is run by no test. Write sh, sql, yaml, json or python after its fence if it is one of them "
        "(text is what a program prints), or give it a row in tests/support/examples.py."
    )


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.page} {run.heading} {run.language}".replace("*", "any"))
def test_a_row_is_true(run: Run) -> None:
    """It takes a block, its test exists, and a test of one section names that section."""
    assert run.page == "*" or any(runner(each) is run for each in examples()), "it takes no block: remove it"
    if run.is_reason:
        assert run.page != "*" and run.heading != "*"
        return
    path, _, name = run.by.partition("::")
    assert name in functions(path)
    if run.page != "*":
        # Either it reads the section itself, or it takes its blocks from the list.
        source = (ROOT / path).read_text("utf-8")
        assert run.heading in source or f'{run.page.rpartition("/")[2]}"' in source or "run_by(" in source


def test_few_blocks_are_not_run() -> None:
    not_run = [each for each in examples() if (run := runner(each)) and run.is_reason]
    assert len(not_run) < len(examples()) / 20
