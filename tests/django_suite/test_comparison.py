"""The comparison of two runs of Django's suite: what counts as a difference, and what is said of it."""

from __future__ import annotations

import pytest

from tests.support.suite.comparison import Pair, judge, labels_of
from tests.support.suite.declared import Difference
from tests.support.suite.stage import Outcome

PASSED, FAILED, SKIPPED = Outcome("passed"), Outcome("failed", "AssertionError: 1 != 2"), Outcome("skipped", "no")
SAME = Pair({"app.T.a": PASSED, "app.T.b": SKIPPED}, {"app.T.a": PASSED, "app.T.b": SKIPPED})
UNLIKE = Pair({"app.T.a": FAILED, "app.T.b": SKIPPED}, {"app.T.a": PASSED, "app.T.b": SKIPPED})
DECLARED = {"app.T.a": Difference(("failed", "passed"), "because")}


def test_the_same_outcomes_are_equal() -> None:
    verdict = judge(SAME, None, {})
    assert verdict.equal
    assert verdict.text() == "The engines are equal."


@pytest.mark.parametrize(
    ("ours", "stock"),
    [
        ({"app.T.a": FAILED}, {"app.T.a": PASSED}),
        ({"app.T.a": PASSED}, {"app.T.a": FAILED}),
        ({"app.T.a": SKIPPED}, {"app.T.a": PASSED}),
        ({}, {"app.T.a": PASSED}),
        ({"app.T.a": PASSED}, {}),
        ({"app.T.a": Outcome("error")}, {"app.T.a": FAILED}),
        ({"app.T.a": Outcome("expected failure")}, {"app.T.a": PASSED}),
    ],
)
def test_every_other_outcome_is_a_difference(ours: dict[str, Outcome], stock: dict[str, Outcome]) -> None:
    pair = Pair(ours, stock)
    verdict = judge(pair, pair, {})
    assert verdict.different == ["app.T.a"]
    assert not verdict.equal
    assert "Different: 1\n  app.T.a\n" in verdict.text()
    assert verdict.text().endswith("The engines differ.")


def test_a_difference_tells_both_outcomes_with_their_reasons() -> None:
    assert "  app.T.a\n    failed (AssertionError: 1 != 2) / passed" in judge(UNLIKE, UNLIKE, {}).text()


def test_a_test_that_differs_once_is_named_but_is_no_difference() -> None:
    verdict = judge(UNLIKE, SAME, {})
    assert verdict.equal
    assert verdict.unsteady == ["app.T.a"]
    assert "Different once, the same when run again: 1\n  app.T.a\n" in verdict.text()


def test_a_declared_difference_is_equal_and_named() -> None:
    verdict = judge(UNLIKE, None, DECLARED)
    assert verdict.equal
    assert verdict.as_declared == {"app.T.a": "because"}
    assert (
        "Different as declared: 1\n  app.T.a\n    failed (AssertionError: 1 != 2) / passed\n    because"
        in verdict.text()
    )


def test_another_difference_than_the_declared_one_is_a_difference() -> None:
    pair = Pair({"app.T.a": Outcome("error")}, {"app.T.a": PASSED})
    assert judge(pair, pair, DECLARED).different == ["app.T.a"]


def test_a_declared_test_that_no_longer_differs_is_stale() -> None:
    verdict = judge(SAME, None, DECLARED)
    assert verdict.stale == ["app.T.a"]
    assert not verdict.equal


def test_a_declared_test_that_did_not_run_is_not_stale() -> None:
    assert judge(SAME, None, {"other.T.a": Difference(("failed", "passed"), "because")}).equal


def test_a_test_that_fails_on_both_is_named() -> None:
    verdict = judge(Pair({"app.T.a": FAILED}, {"app.T.a": FAILED}), None, {})
    assert verdict.equal
    assert "Failing on both: 1\n  app.T.a\n" in verdict.text()


def test_labels_are_the_modules_of_the_tests() -> None:
    tests = [
        "backends.base.test_base.DatabaseWrapperTests.test_a",
        "backends.tests.T.test_b",
        "gis_tests.geoapp.tests.T.test_c",
        "setUpClass (queries.tests.T)",
        "unittest.loader._FailedTest.admin_views.test_x",
    ]
    assert labels_of(tests) == ["admin_views", "backends", "gis_tests.geoapp", "queries"]


def test_the_table_counts_what_occurs() -> None:
    assert UNLIKE.table(("ours", "stock")).splitlines() == [
        "| outcome | ours | stock |",
        "| --- | ---: | ---: |",
        "| passed | 0 | 1 |",
        "| skipped | 1 | 1 |",
        "| failed | 1 | 0 |",
        "| tests | 2 | 2 |",
    ]
