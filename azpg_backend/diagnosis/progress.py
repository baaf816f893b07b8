"""One line on a terminal that says what is being waited for."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Iterable

from azpg_backend.diagnosis.report import STEPS, StepResult
from azpg_backend.errors.codes import AZURE

# Back to the first column, and erase the line (ECMA-48, EL).
_ERASE = "\r\x1b[2K"


class Progress:
    """Shows the step that each alias is at. Called from the threads of all aliases.

    write: puts a text on the terminal at once, without a newline.
    azure: whether the step azure is the last.
    """

    def __init__(self, write: Callable[[str], None], aliases: Iterable[str], *, azure: bool = False) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._steps = (*STEPS, AZURE) if azure else STEPS
        self._running = dict.fromkeys(aliases, STEPS[0])
        self._show()

    def __call__(self, alias: str, result: StepResult) -> None:
        with self._lock:
            following = self._steps.index(result.step) + 1
            if following < len(self._steps):
                self._running[alias] = self._steps[following]
            else:
                self._running.pop(alias, None)
            self._show()

    def _show(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        # No more of a thousand aliases than a line could hold.
        shown = itertools.islice(self._running.items(), width)
        line = ", ".join(f"{alias}: {step}" for alias, step in shown)
        if self._running:
            self._write(_ERASE + f"Checking {line} ..."[:width])

    def clear(self) -> None:
        """Take the line away, so that a report can be printed in its place."""
        with self._lock:
            self._write(_ERASE)


def no_progress(alias: str, result: StepResult) -> None:
    """Show nothing: the output goes to a file, a pipe or a program."""
