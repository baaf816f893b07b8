"""Limits on time that hold whatever the other side does.

Name resolution and a driver's connect() can't be interrupted, so each runs in a daemon thread that may be left
behind: it keeps neither the command nor the interpreter from ending.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from azpg_backend.process.memory import Kept

# Seconds for which a thread waits for another task.
_PATIENCE = 1.0

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
    """A function that runs in a daemon thread of its own.

    name: of the thread, as long as the function runs.
    """

    def __init__(self, function: Callable[[], R], name: str) -> None:
        self._function = function
        self._name = name
        self._result: R
        self._error: BaseException | None = None
        self._running = threading.Lock()
        self._running.acquire()
        _threads.get().give(self)

    def run(self) -> None:
        threading.current_thread().name = self._name
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 (handed to the thread that waits)
            self._error = error
        # A result may be kept for long; what it was made from need not.
        del self._function

    def end(self) -> None:
        """Let those that wait for it have the result."""
        self._running.release()

    def ended(self, seconds: float) -> bool:
        """Wait for so many seconds, and return whether the function has returned or raised."""
        if not self._running.acquire(timeout=max(0.0, seconds)):
            return False
        self._running.release()
        return True

    def result(self, seconds: float) -> R:
        """Return what the function returns, or raise what it raises. Raises Late after so many seconds."""
        if not self.ended(seconds):
            raise Late
        if self._error is not None:
            raise self._error
        return self._result


class _Threads:
    """The threads that run tasks. One that has ended its task is there for the next: a fleet has ten thousand.

    One that is left behind by whoever waited for it comes back when it ends, and one without a task leaves soon.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[Task[Any]]] = []

    def give(self, task: Task[Any]) -> None:
        """Run a task at once."""
        with self._lock:
            if self._idle:
                self._idle.pop().put(task)
                return
        own: queue.SimpleQueue[Task[Any]] = queue.SimpleQueue()
        own.put(task)
        threading.Thread(target=self._work, args=(own,), daemon=True).start()

    def _work(self, own: queue.SimpleQueue[Task[Any]]) -> None:
        while task := self._next(own):
            task.run()
            threading.current_thread().name = "azpg-check-idle"
            with self._lock:
                self._idle.append(own)
            # Idle first: whoever waited most likely has the next task.
            task.end()
            del task

    def _next(self, own: queue.SimpleQueue[Task[Any]]) -> Task[Any] | None:
        try:
            return own.get(timeout=_PATIENCE)
        except queue.Empty:
            with self._lock:
                if own in self._idle:
                    self._idle.remove(own)
                    return None
            # It was taken at this very moment.
            return own.get()


_threads = Kept(_Threads)


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
