"""SIGTERM, as a pipeline or Kubernetes sends it, ends a command as Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def status_of(error: KeyboardInterrupt) -> int:
    """Return the exit status that a shell reports for a program that this signal ended."""
    return 128 + getattr(error, "number", signal.SIGINT)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise Interrupted when SIGTERM comes, where nobody else has asked for it."""
    own = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not own:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)
