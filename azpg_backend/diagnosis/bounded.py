"""Limits on time that hold whatever the other side does.

Name resolution and a driver's connect() can't be interrupted, so each runs in a daemon thread that may be left
behind: it keeps neither the command nor the interpreter from ending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Late(TimeoutError):
    """A task did not end in time, and goes on in its thread."""


class Deadline:
    """A moment after which nothing more is waited for, a number of seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that remain. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Task(Generic[R]):
    """A function that runs in its own daemon thread."""

    def __init__(self, function: Callable[[], R], name: str) -> None:
        self._function = function
        self._result: R
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 (handed to the thread that waits)
            self._error = error

    def result(self, seconds: float) -> R:
        """Return what the function returns, or raise what it raises. Raises Late after so many seconds."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise Late
        if self._error is not None:
            raise self._error
        return self._result


def side_by_side(function: Callable[[T], R], items: Iterable[T], seconds: float) -> list[R | Exception]:
    """Run a function for all items at once and return results or errors in order, after at most so many seconds."""

    def attempt(task: Task[R]) -> R | Exception:
        try:
            return task.result(max(0.0, end - time.monotonic()))
        except Exception as error:  # noqa: BLE001 (returned: one item's failure must not hide the others)
            return error

    end = time.monotonic() + seconds
    tasks = [Task(lambda item=item: function(item), "azpg-check") for item in items]  # type: ignore[misc]
    return [attempt(task) for task in tasks]
