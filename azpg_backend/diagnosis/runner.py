"""All aliases side by side, each through the steps in order, within a limit that holds whatever a server does."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from azpg_backend import client
from azpg_backend.base import DatabaseWrapper
from azpg_backend.diagnosis import application, steps
from azpg_backend.diagnosis.bounded import Task
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
# Aliases that are looked at side by side.
WORKERS = 48

Progress = Callable[[str, StepResult], None]


class Diagnosis:
    """The diagnosis of some aliases, which runs in threads once it is started.

    So many aliases are looked at side by side, each with at most three threads and two connections for each of its
    hosts, that slow ones don't add up and a thousand don't exhaust the machine.

    timeout: seconds for each step.
    limit: seconds for the whole.
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
        rounds = -(-len(wrappers) // WORKERS)
        self.limit = rounds * (len(steps.chosen(selection.azure)) * (timeout + GRACE) + CLOSING)
        self._end = time.monotonic() + self.limit
        self._aliases = [_Alias(wrapper, roots, timeout, progress, selection, announcements) for wrapper in wrappers]
        self._waiting = iter(list(self._aliases))
        self._lock = threading.Lock()
        self._ended: queue.SimpleQueue[_Alias] = queue.SimpleQueue()

    def start(self) -> None:
        self._end = time.monotonic() + self.limit
        for number in range(min(WORKERS, len(self._aliases))):
            Task(self._work, f"azpg-check-worker-{number}")

    def _work(self) -> None:
        while alias := self._next():
            try:
                alias.run()
            finally:
                self._ended.put(alias)

    def _next(self) -> _Alias | None:
        with self._lock:
            return next(self._waiting, None)

    def reports(self) -> Iterator[DatabaseReport]:
        """Yield each report as soon as it is there, in order as long as all aliases run side by side."""
        if len(self._aliases) > WORKERS:
            yield from self._as_they_come()
            return
        found: dict[str, DatabaseReport] = {}
        coming = self._as_they_come()
        for alias in self._aliases:
            while alias.alias not in found:
                report = next(coming)
                found[report.alias] = report
            yield found[alias.alias]

    def _as_they_come(self) -> Iterator[DatabaseReport]:
        """Yield each report as it comes; at the limit, what is known of the aliases that are left."""
        left = dict.fromkeys(self._aliases)
        while left:
            try:
                alias = self._ended.get(timeout=max(0.0, self._end - time.monotonic()))
            except queue.Empty:
                break
            del left[alias]
            yield alias.report()
        for alias in left:
            yield alias.report()

    def in_order(self, reports: Iterable[DatabaseReport]) -> list[DatabaseReport]:
        """Return reports in the order of the aliases."""
        order = {alias.alias: number for number, alias in enumerate(self._aliases)}
        return sorted(reports, key=lambda report: order[report.alias])

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
    """Diagnose aliases and yield their reports."""
    diagnosis = Diagnosis(wrappers, roots, timeout, progress, selection)
    diagnosis.start()
    return diagnosis.reports()


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
        self._steps = steps.chosen(selection.azure)
        self._wrapper = wrapper
        self._roots = roots
        self._timeout = timeout
        self._announcements = announcements
        self._started: float | None = None
        self._results: dict[str, StepResult] = {}
        self._context: Context | None = None
        self._report: DatabaseReport | None = None

    def run(self) -> None:
        self._started = time.monotonic()
        self._context = self._prepared()
        if self._context is not None:
            try:
                for step in self._steps[: self._selection.last + 1]:
                    why = step.missing(self._context)
                    result = skipped(step.name, why) if why else _bounded(step, self._context)
                    self._results[step.name] = result
                    self._progress(self.alias, result)
            finally:
                self._context.close()
        # What was needed for it is let go: there may be a thousand aliases.
        self._report, self._context = self.report(), None

    def _prepared(self) -> Context | None:
        """Read the settings; None if they can't be read, and then the step says why."""
        try:
            plan = self._wrapper.plan()
            copy = application.copy_of(self._wrapper, plan, self._timeout)
        except Exception as error:  # noqa: BLE001 (settings can be anything, and each alias has to be told its own)
            self._results["settings"] = failed(
                "settings.invalid",
                redact.without(f"{type(error).__name__}: {error}", explain.secrets_of(self._wrapper.settings_dict)),
                "A value in this alias has a form that can't be read: compare it with Django's documentation.",
            )
            return None
        return Context(
            self._wrapper, copy, plan, self._timeout, self._roots, self._announcements, results=self._results
        )

    def report(self) -> DatabaseReport:
        """Return what is known at this moment."""
        if self._report is not None:
            return self._report
        seconds = time.monotonic() - self._started if self._started is not None else 0.0
        results = dict(self._results)
        context = self._context
        why = "needs settings" if "settings" in results and context is None else "not reached"
        rows = [results.get(step.name, skipped(step.name, why)) for step in self._steps]
        plan = context.plan if context else None
        endpoints = plan.endpoints if plan else ()
        return DatabaseReport(
            alias=self.alias,
            host=",".join(dict.fromkeys(each.host or each.hostaddr for each in endpoints)),
            port=endpoints[0].port if endpoints else 0,
            psql=client.shown_command(plan) if plan else "",
            steps=self._selection.judged(rows),
            duration_ms=round(seconds * 1000, 1),
            settings=context.shown_settings() if context else {},
            pem=context.sent_pem() if context else "",
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
