"""The test runner that records outcomes: every kind, and the worst of a test's subtests."""

from __future__ import annotations

import io
import json
import re
import unittest
from pathlib import Path

import pytest

from tests.support.suite.recording import RecordingResult


def samples() -> unittest.TestSuite:
    """Return tests of every outcome. pytest would run them too if they stood outside."""

    class Sample(unittest.TestCase):
        def test_passed(self) -> None:
            pass

        def test_failed(self) -> None:
            self.fail("this way\nand no other")

        def test_error(self) -> None:
            raise KeyError("name")

        def test_skipped(self) -> None:
            self.skipTest("not today")

        @unittest.expectedFailure
        def test_expected_failure(self) -> None:
            self.fail()

        @unittest.expectedFailure
        def test_unexpected_success(self) -> None:
            pass

        def test_failed_in_a_subtest(self) -> None:
            for number in range(3):
                with self.subTest(number=number):
                    self.assertNotEqual(number, 1)

        def test_skipped_in_a_subtest(self) -> None:
            with self.subTest(value=object()):
                self.skipTest("not this one")

        def test_error_in_a_subtest(self) -> None:
            with self.subTest(), self.subTest():
                raise KeyError("name")

    class NoClass(unittest.TestCase):
        @classmethod
        def setUpClass(cls) -> None:
            raise KeyError("class")

        def test_never_run(self) -> None:
            pass

    load = unittest.defaultTestLoader.loadTestsFromTestCase
    return unittest.TestSuite([load(Sample), load(NoClass)])


def test_every_outcome_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZPG_SUITE_OUTCOMES", str(tmp_path / "outcomes"))
    unittest.TextTestRunner(stream=io.StringIO(), resultclass=RecordingResult).run(samples())
    recorded = json.loads((tmp_path / "outcomes").read_text("utf-8"))
    outcomes = {re.split(r"Sample\.test_|<locals>\.", test)[-1]: each for test, each in recorded.items()}
    assert outcomes == {
        "passed": ["passed", ""],
        "failed": ["failed", "AssertionError: this way"],
        "error": ["error", "KeyError: 'name'"],
        "skipped": ["skipped", "not today"],
        "expected_failure": ["expected failure", ""],
        "unexpected_success": ["unexpected success", ""],
        "skipped_in_a_subtest": ["skipped", "not this one"],
        "failed_in_a_subtest": ["failed", "AssertionError: 1 == 1"],
        "error_in_a_subtest": ["error", "KeyError: 'name'"],
        "NoClass)": ["error", "KeyError: 'class'"],
    }
