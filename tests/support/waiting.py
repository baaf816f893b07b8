"""Wait for events in other threads, processes and the network, however busy the machine is."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

import pytest

# Seconds. Only a test that fails waits so long.
LIMIT = 60


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true, or fail the test."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"still not true after {LIMIT} s")
        time.sleep(0.02)


def until_readable(wrapper: Any) -> None:
    """Wait until the server's end of a connection, or its last words, have arrived."""
    until(lambda: select.select([wrapper.connection], [], [], 0)[0])
