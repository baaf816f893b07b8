"""What two runs of one suite have in common: a verdict on each test, and the table of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.support.suite.declared import Difference
from tests.support.suite.recording import KINDS
from tests.support.suite.stage import Outcome

ABSENT = Outcome("absent")
BAD = ("unexpected success", "failed", "error")


@dataclass(frozen=True)
class Pair:
    """The outcomes of one suite on both engines, by the tests' ids."""

    ours: Mapping[str, Outcome]
    stock: Mapping[str, Outcome]

    def of(self, test: str) -> tuple[Outcome, Outcome]:
        return self.ours.get(test, ABSENT), self.stock.get(test, ABSENT)

    def kinds(self, test: str) -> tuple[str, str]:
        ours, stock = self.of(test)
        return ours.kind, stock.kind

    @property
    def tests(self) -> list[str]:
        return sorted(self.ours.keys() | self.stock.keys())

    @property
    def differing(self) -> list[str]:
        """The tests that did not come out the same."""
        return [test for test in self.tests if len(set(self.kinds(test))) > 1]

    def undeclared(self, declared: Mapping[str, Difference]) -> list[str]:
        """The tests that differ, and not in the way that is declared."""
        return [test for test in self.differing if test not in declared or self.kinds(test) != declared[test].kinds]

    def table(self, names: tuple[str, str]) -> str:
        counts = [Counter(each.kind for each in run.values()) for run in (self.ours, self.stock)]
        lines = [f"| outcome | {names[0]} | {names[1]} |", "| --- | ---: | ---: |"]
        kinds = [kind for kind in KINDS if any(count[kind] for count in counts)]
        lines += [f"| {kind} | {counts[0][kind]} | {counts[1][kind]} |" for kind in kinds]
        lines.append(f"| tests | {len(self.ours)} | {len(self.stock)} |")
        return "\n".join(lines)


def _text(outcome: Outcome) -> str:
    return f"{outcome.kind} ({outcome.why})" if outcome.why else outcome.kind


def labels_of(tests: Iterable[str]) -> list[str]:
    """Return the labels of runtests.py for the modules of these tests, which then run in the company that they had."""
    labels = set()
    for test in tests:
        # A class that could not be set up is "setUpClass (module.Class)".
        inside = re.search(r"\((.+)\)$", test)
        parts = (inside[1] if inside else test.removeprefix("unittest.loader._FailedTest.")).split(".")
        labels.add(".".join(parts[: 2 if parts[0] == "gis_tests" else 1]))
    return sorted(labels)


@dataclass(frozen=True)
class Verdict:
    """What the comparison found.

    different: tests that differ, also when run again, and aren't declared. unsteady: tests that differed once only.
    as_declared: the reasons of tests that differ as declared. stale: declared tests that ran and don't differ.
    """

    pair: Pair
    different: list[str]
    unsteady: list[str]
    as_declared: Mapping[str, str]
    stale: list[str]

    @property
    def equal(self) -> bool:
        return not self.different and not self.stale

    def _described(self, tests: list[str]) -> str:
        return "\n".join(self._lines(test) for test in tests)

    def _lines(self, test: str) -> str:
        reason = f"\n    {self.as_declared[test]}" if test in self.as_declared else ""
        return f"  {test}\n    {' / '.join(map(_text, self.pair.of(test)))}{reason}"

    def text(self) -> str:
        """Return every difference by its name, and the verdict in the last line."""
        bad = [test for test in self.pair.tests if set(self.pair.kinds(test)) <= set(BAD)]
        parts = (
            ("Different", self.different),
            ("Declared as different, but the same", self.stale),
            ("Different as declared", list(self.as_declared)),
            ("Different once, the same when run again", self.unsteady),
            ("Failing on both", [test for test in bad if test not in self.pair.differing]),
        )
        named = [f"{title}: {len(tests)}\n{self._described(tests)}\n" for title, tests in parts if tests]
        return "\n".join([*named, "The engines are equal." if self.equal else "The engines differ."])


def judge(first: Pair, again: Pair | None, declared: Mapping[str, Difference]) -> Verdict:
    """Return the verdict. again: a second run of the modules that had a difference, if there was one."""
    undeclared = first.undeclared(declared)
    different = undeclared if again is None else [test for test in undeclared if test in again.differing]
    return Verdict(
        pair=first,
        different=different,
        unsteady=[test for test in undeclared if test not in different],
        as_declared={test: declared[test].reason for test in first.differing if test not in undeclared},
        stale=[test for test in first.tests if test in declared and test not in first.differing],
    )
