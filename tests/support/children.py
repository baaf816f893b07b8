"""Forked children that do some work and end."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable


def forked(work: Callable[[], None]) -> int:
    """Do work in a child, and return its id."""
    with warnings.catch_warnings():
        # Python warns of the pool's threads, which a child does not have.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # Never back into pytest.
        try:
            work()
        finally:
            os._exit(0)
    return child


def ended(child: int, end: float) -> bool:
    """Whether a child ends by itself until then; else it is ended."""
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.02)
    return True
