"""All aliases side by side, each through the steps in order, within a limit that holds whatever a server does."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from azpg_backend import client
from azpg_backend.base import DatabaseWrapper
from azpg_backend.diagnosis import application, steps
from azpg_backend.diagnosis.bounded import Late, Task
from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.context import CLOSING, Context
from azpg_backend.diagnosis.report import DatabaseReport, StepResult, failed, skipped
from azpg_backend.diagnosis.selection import EVERYTHING, Selection
from azpg_backend.diagnosis.step import Step
from azpg_backend.errors import explain, redact
from azpg_backend.trust.announcements import Announcements

# Seconds that a step may take beyond --timeout. What waits inside a step has the shorter limit and knows better words
# for it; this one is for what can't be interrupted.
GRACE = 2.0

Progress = Callable[[str, StepResult], None]


class Diagnosis:
    """The diagnosis of some aliases, which runs in its own threads from the start.

    timeout: seconds for each step. The whole takes at most ``limit`` seconds, however many aliases there are.
    progress: called with alias and result whenever a step ends, from any thread.
    selection: the steps and codes that count.
    announcements: the changes to look ahead with, or None for no forecast.
    """

    def __init__(
        self,
        wrappers: Sequence[DatabaseWrapper],
        roots: Roots,
        timeout: float,
        progress: Progress,
        selection: Selection = EVERYTHING,
        announcements: Announcements | None = None,
    ) -> None:
        self.limit = len(steps.ALL) * (timeout + GRACE) + CLOSING
        self._end = time.monotonic() + self.limit
        self._aliases = [_Alias(wrapper, roots, timeout, progress, selection, announcements) for wrapper in wrappers]
        self._tasks = [Task(each.run, f"azpg-check-{each.alias}") for each in self._aliases]

    def reports(self) -> Iterator[DatabaseReport]:
        """Yield the reports in the order of the aliases, each as soon as it is there."""
        for alias, task in zip(self._aliases, self._tasks, strict=True):
            with contextlib.suppress(Late):
                task.result(max(0.0, self._end - time.monotonic()))
            yield alias.report()

    def known_so_far(self) -> list[DatabaseReport]:
        """Return what all reports have at this moment."""
        return [alias.report() for alias in self._aliases]


def diagnose(
    wrappers: Sequence[DatabaseWrapper],
    roots: Roots,
    timeout: float,
    progress: Progress,
    selection: Selection = EVERYTHING,
) -> Iterator[DatabaseReport]:
    """Diagnose aliases and yield their reports in the order given."""
    return Diagnosis(wrappers, roots, timeout, progress, selection).reports()


class _Alias:
    """One alias on its way through the steps."""

    def __init__(
        self,
        wrapper: DatabaseWrapper,
        roots: Roots,
        timeout: float,
        progress: Progress,
        selection: Selection,
        announcements: Announcements | None,
    ) -> None:
        self.alias = wrapper.alias
        self._progress = progress
        self._selection = selection
        self._started = time.monotonic()
        self._seconds: float | None = None
        self._results: dict[str, StepResult] = {}
        self._context: Context | None = None
        try:
            plan = wrapper.plan()
            copy = application.copy_of(wrapper, plan, timeout)
        except Exception as error:  # noqa: BLE001 (settings can be anything, and each alias has to be told its own)
            self._results["settings"] = failed(
                "settings.invalid",
                redact.without(f"{type(error).__name__}: {error}", explain.secrets_of(wrapper.settings_dict)),
                "A value in this alias has a form that can't be read: compare it with Django's documentation.",
            )
        else:
            self._context = Context(wrapper, copy, plan, timeout, roots, announcements)

    def run(self) -> None:
        if self._context is not None:
            try:
                for step in steps.ALL[: self._selection.last + 1]:
                    why = step.missing(self._context)
                    result = skipped(step.name, why) if why else _bounded(step, self._context)
                    self._results[step.name] = result
                    self._progress(self.alias, result)
            finally:
                self._context.close()
        self._seconds = time.monotonic() - self._started

    def report(self) -> DatabaseReport:
        seconds = time.monotonic() - self._started if self._seconds is None else self._seconds
        results = dict(self._results)
        why = "needs settings" if self._context is None else "not reached"
        rows = [results.get(step.name, skipped(step.name, why)) for step in steps.ALL]
        plan = self._context.plan if self._context else None
        endpoints = plan.endpoints if plan else ()
        return DatabaseReport(
            alias=self.alias,
            host=",".join(dict.fromkeys(each.host or each.hostaddr for each in endpoints)),
            port=endpoints[0].port if endpoints else 0,
            psql=client.shown_command(plan) if plan else "",
            steps=self._selection.judged(rows),
            duration_ms=round(seconds * 1000, 1),
        )


def _bounded(step: Step, context: Context) -> StepResult:
    started = time.monotonic()
    try:
        result = Task(lambda: step.run(context), f"azpg-check-{context.plan.alias}-{step.name}").result(
            context.timeout + GRACE
        )
    except TimeoutError:
        context.cut()
        result = failed(step.late, f"no answer within {context.timeout:g} s", step.late_hint)
    except Exception as error:  # noqa: BLE001 (one step's surprise must not hide what the others have to say)
        secrets = explain.secrets_of(context.wrapper.settings_dict)
        message = redact.without(f"{type(error).__name__}: {error}", secrets)
        result = failed(step.surprise or step.late, message, "This is not expected: please report it with this text.")
    return dataclasses.replace(result, duration_ms=round((time.monotonic() - started) * 1000, 1))
