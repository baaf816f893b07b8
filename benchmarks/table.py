"""Measuring two or more things in turn, and the rows that are printed."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping

import django

from azpg_backend.plan import libpq


class Table:
    """The rows of one part: what was compared, both figures, their ratio, and the bar that the project sets itself."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[tuple[str, str, str, str, str]] = []

    def add(self, what: str, ours: float, stock: float, unit: str, bar: str = "") -> None:
        """Add a row. Whole things are told apart by their difference, so they get no ratio."""
        whole = unit in {"trips", "modules"}
        digits = 0 if whole else 2
        ratio = "" if whole or not stock else f"{ours / stock:.2f}"
        self.rows.append((what, f"{ours:.{digits}f} {unit}", f"{stock:.{digits}f} {unit}", ratio, bar))

    def __str__(self) -> str:
        lines = [f"| {self.title} | this engine | Django's | ratio | bar |", "| --- | --- | --- | --- | --- |"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


def versions() -> str:
    """Return with what the figures were made."""
    return f"Django {django.__version__}, {libpq.driver()}, libpq {libpq.version_text()}"


def measured(actions: Mapping[str, Callable[[], object]], repeat: int) -> dict[str, tuple[float, float]]:
    """Run actions in turn, in another order each time, and return each one's median wall and CPU time in milliseconds.

    A busy machine slows all of them alike, and none always comes upon what another has left in the processor's caches.
    """
    wall: dict[str, list[float]] = {name: [] for name in actions}
    cpu: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for _ in range(repeat):
        random.shuffle(names)
        for name in names:
            started, used = time.perf_counter(), time.process_time()
            actions[name]()
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - used)
    return {name: (statistics.median(wall[name]) * 1e3, statistics.median(cpu[name]) * 1e3) for name in actions}
