"""Processes that don't outlive their purpose: started out of Ctrl-C's reach, ended with their children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def shielded(work: Callable[[], T]) -> T:
    """Do work to its end, even where Ctrl-C or a signal handler's exception arrives meanwhile: it is raised afterwards.

    Python raises those in the main thread only. Without this, one that comes between the making of a process and the
    assignment of its handle leaves a process that nobody knows.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: Future[T] = Future()
    begun, ended = threading.Event(), threading.Event()

    def run() -> None:
        begun.set()
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)
        ended.set()

    # Not a daemon: even who presses Ctrl-C twice waits for it, when the interpreter ends.
    thread = threading.Thread(target=run)
    try:
        thread.start()
        ended.wait()
    except BaseException:
        # Where the interruption came before the thread ran at all, there is nothing to wait for.
        if begun.wait(1):
            ended.wait()
        raise
    thread.join()
    return outcome.result()


def kill_tree(process: subprocess.Popen[bytes], timeout: float) -> None:
    """End a process and its children at once, and wait for up to timeout seconds until they are gone.

    PostgreSQL puts each child into a session of its own, so no process group holds them all.
    """
    if sys.platform == "win32":
        subprocess.run(  # noqa: S603 (a fixed program of the system)
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],  # noqa: S607 (Windows finds its own programs)
            capture_output=True,
            check=False,
        )
        process.wait(timeout)
        return
    # Stopped, it makes no further child between the count and the end.
    os.kill(process.pid, signal.SIGSTOP)
    children = children_of(process.pid)
    for pid in (process.pid, *children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout)
    end = time.monotonic() + timeout
    while time.monotonic() < end and any(_is_alive(pid) for pid in children):
        time.sleep(0.01)


def children_of(parent: int) -> list[int]:
    """Return the ids of a process's children (POSIX)."""
    if sys.platform == "linux":
        # Not ps: slim container images have none.
        numbers = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
        return [pid for pid in numbers if _state_and_parent(pid)[1] == parent]
    listed = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, text=True, check=True)  # noqa: S607 (the system's own)
    rows = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for pid, its_parent in rows if int(its_parent) == parent]


def _is_alive(pid: int) -> bool:
    if sys.platform == "linux":
        # In a container whose first process does not reap, the dead stay listed as zombies.
        return _state_and_parent(pid)[0] not in ("", "Z", "X")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _state_and_parent(pid: int) -> tuple[str, int]:
    with contextlib.suppress(OSError):
        # The name, in parentheses, may hold anything; what follows it does not.
        state, parent = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
        return state, int(parent)
    return "", 0


def remove_segment(number: str, account: dict[str, Any]) -> None:
    """Remove a System V shared memory segment, as its owner. Where there is no ipcrm, it stays: 56 bytes."""
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(["ipcrm", "-m", number], capture_output=True, check=False, cwd="/", **account)  # noqa: S603, S607 (the system's own)


class Watchdog:
    """Stops a server and removes its folder should this process end without doing so, by SIGKILL say (POSIX).

    It is a shell that waits for its standard input to end, which the system sees to however this process ends. It runs
    as the server's account, so of a folder in one that only root may write to, the empty shell remains.
    """

    _SCRIPT = (
        "read -r line && exit\n"
        'for round in 1 2 3; do "$1" stop -s -m immediate -D "$2/data"; rm -rf "$2"; [ -e "$2" ] || exit; sleep 1; done'
    )

    def __init__(self, pg_ctl: Path, folder: Path, **account: Any) -> None:
        self._shell = subprocess.Popen(  # noqa: S603 (the script above; paths come as arguments)
            ["/bin/sh", "-c", self._SCRIPT, "sh", str(pg_ctl), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **account,
        )

    def release(self) -> None:
        """End it, with nothing done."""
        with contextlib.suppress(BrokenPipeError):
            self._shell.communicate(b"\n")
