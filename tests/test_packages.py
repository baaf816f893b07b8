"""The comparison of packages: what counts as the same, and what the tables are made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packages.outcomes import BROKEN, Comparison, Outcomes

ROOT = Path(__file__).resolve().parents[1]
GOOD = {"f.py::test_a": "passed", "f.py::test_b": "failed", "f.py::test_c[1]": "skipped"}


def test_the_same() -> None:
    found = Comparison(GOOD, GOOD, {"f.py::test_a": "passed"})
    assert (found.differences, found.verdict) == ([], "same")


@pytest.mark.parametrize(
    ("stock", "ours", "must"),
    [
        ({"f.py::test_a": "passed"}, {"f.py::test_a": "failed"}, {}),
        ({"f.py::test_a": "passed"}, {"f.py::test_a": "skipped"}, {}),
        ({"f.py::test_a": "failed"}, {"f.py::test_a": "passed"}, {}),
        ({"f.py::test_a": "passed"}, {}, {}),
        ({}, {"f.py::test_a": "passed"}, {}),
        ({"f.py::test_a": "failed"}, {"f.py::test_a": "error"}, {}),
        ({"f.py::test_a": "failed"}, {"f.py::test_a": "failed"}, {"f.py::test_a": "failed"}),
        ({}, {}, {"f.py::test_recipe": "failed"}),
        ({"no end": BROKEN}, {"no end": BROKEN}, {}),
        ({}, {}, {}),
    ],
)
def test_a_difference(stock: Outcomes, ours: Outcomes, must: Outcomes) -> None:
    found = Comparison(stock, ours, must)
    assert found.differences
    assert "same" not in found.verdict


def test_what_only_this_engine_does() -> None:
    ours = {**GOOD, "f.py::test_b": "passed"}
    assert Comparison(GOOD, ours, {}).differences
    found = Comparison(GOOD, ours, {}, recipes=2, mended={"test_b": "it counts"})
    assert (found.differences, found.verdict) == ([], "same; only here: it counts; the recipe works")


def test_what_is_explained() -> None:
    stock, ours = {"f.T.test_a": "passed", **GOOD}, {"f.T.test_a": "skipped", **GOOD}
    found = Comparison(stock, ours, {}, explained={"test_a": "one test is for Django's engine"})
    assert (found.differences, found.verdict) == ([], "same; but one test is for Django's engine")
    assert Comparison(stock, ours, {}, explained={"test_b": "it never does"}).differences
    assert Comparison(GOOD, GOOD, {}, explained={"test_b": "it never does"}).verdict == "same"
    # Nothing excuses a test of ours.
    failed = {"f.T.test_a": "failed"}
    assert Comparison(stock, {**ours, **failed}, failed, explained={"test_a": "it may"}).differences


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML")
def test_each_package_s_own_tests_run_or_the_table_says_why_not() -> None:
    from tests.support.packages.catalogue import load

    packages = [each for each in load().values() if each.requirements]
    assert packages
    assert [each.name for each in packages if bool(each.suite) == bool(each.without)] == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML")
@pytest.mark.parametrize(
    ("path", "found"),
    [("tests/test_a.py", True), ("app/tests/a_test.py", True), ("app/testing.py", False), ("tests/__init__.py", False)],
)
def test_whether_a_source_has_tests(tmp_path: Path, path: str, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.packages import runs
    from tests.support.packages.catalogue import Package

    file = tmp_path / "test_package-1.0" / path
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.setattr(runs, "source", lambda package, cache: tmp_path / "test_package-1.0")
    assert runs.has_tests(Package("test-package", "Tools", ()), tmp_path) is found


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML")
def test_the_tables_are_what_the_sessions_found() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "write_composition.py"), "--check"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
