"""What processes and files a program left below a folder that was its TMPDIR."""

from __future__ import annotations

import os
import time
from pathlib import Path


def working_in(base: Path) -> list[str]:
    """Return the processes whose working folder is below the base, the user's script itself aside."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            folder, command = os.readlink(process / "cwd"), (process / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if folder.startswith(f"{base}/") or (f"{base}/" in command and process.name != str(os.getpid())):
            found.append(f"{process.name} {command}")
    return found


def assert_nothing_is_left(base: Path) -> None:
    # A process that was told to end takes a moment.
    end = time.monotonic() + 60
    while (working_in(base) or list(base.iterdir())) and time.monotonic() < end:
        time.sleep(0.05)
    assert working_in(base) == []
    assert list(base.iterdir()) == []
