"""Which findings count: --only, --ignore."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from azpg_backend.diagnosis.report import Status, StepResult, from_problems, skipped
from azpg_backend.errors.codes import ALL_STEPS, AZURE, STEP_CODES

_TROUBLE = {Status.WARN, Status.FAIL}


def unknown(names: Iterable[str]) -> list[str]:
    """Return those that are neither a step nor a code."""
    return [name for name in names if name not in ALL_STEPS and name not in STEP_CODES]


@dataclass(frozen=True)
class Selection:
    """The steps and codes that count.

    only: steps or codes; empty for all. The steps that they need run as well, and show if they are why a step could
        not run.
    ignore: steps or codes that never count.
    azure: whether Azure itself is asked, which is the last step.
    """

    only: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    azure: bool = False

    @property
    def last(self) -> int:
        """The number of the last step to run."""
        return max(
            (number for number, step in enumerate(ALL_STEPS) if self._wants_step(step)), default=len(ALL_STEPS) - 1
        )

    @property
    def counting(self) -> list[str]:
        """The codes that count."""
        return [code for code in STEP_CODES if self._counts(code) and (self.azure or not code.startswith(f"{AZURE}."))]

    def judged(self, results: Sequence[StepResult]) -> tuple[StepResult, ...]:
        """Return the results with what does not count turned into a skip."""
        if not self.only and not self.ignore:
            return tuple(results)
        blocked = any(
            each.status is Status.SKIP and each.message.startswith("needs ") and self._wants_step(each.step)
            for each in results
        )
        return tuple(self._judged(each, blocked) for each in results)

    def _wants_step(self, step: str) -> bool:
        return not self.only or any(name.partition(".")[0] == step for name in self.only)

    def _counts(self, code: str) -> bool:
        step = code.partition(".")[0]
        wanted = not self.only or code in self.only or step in self.only
        return wanted and code not in self.ignore and step not in self.ignore

    def _judged(self, result: StepResult, blocked: bool) -> StepResult:
        if result.status not in _TROUBLE:
            if result.status is Status.SKIP or self._wants_step(result.step):
                return result
            return skipped(result.step, "not asked for (--only)")
        if blocked and result.status is Status.FAIL and not self._is_ignored(result.code):
            # It is why a step that was asked for could not run.
            return result
        counting = [each for each in result.problems if self._counts(each.code)]
        if len(counting) == len(result.problems):
            return result
        detail = {key: value for key, value in result.detail.items() if key != "problems"}
        if counting:
            return dataclasses.replace(from_problems(counting, **detail), duration_ms=result.duration_ms)
        flag = "--ignore" if self._is_ignored(result.code) else "--only"
        message = f"{result.code} does not count ({flag}): {result.message}"
        return dataclasses.replace(result, status=Status.SKIP, message=message)

    def _is_ignored(self, code: str) -> bool:
        return code in self.ignore or code.partition(".")[0] in self.ignore


EVERYTHING = Selection()
