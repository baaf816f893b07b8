"""What a process pays before its first query: imports, memory, the first connect, and many aliases."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from subprocess import PIPE
from typing import Any

from azpg_backend import trust
from benchmarks.table import Table

ALIASES = (1, 10, 50, 200)

# Arguments: the alias, how often it is repeated under other names, and the package's CA file. For each line that
# it gets, a child connects once to each, and at the end the process itself. The children are forked before any connect,
# so that each time is the first.
_PROGRAM = """
import json, os, sys, time
settings_dict, count, bundle = json.loads(sys.argv[1])
started = time.perf_counter()
import django
from django.conf import settings
names = ["default", *(f"alias{number}" for number in range(1, count))]
settings.configure(DATABASES={name: settings_dict for name in names}, USE_TZ=True)
django.setup()
from django.db import connection, connections
connection.vendor
print(json.dumps({"ready": (time.perf_counter() - started) * 1e3, "modules": len(sys.modules)}), flush=True)
if "azpg_backend.plan.defaults" in sys.modules:
    sys.modules["azpg_backend.plan.defaults"].TLS["sslrootcert"] = bundle

def connect():
    wall = cpu = 0
    for name in names:
        started, used = time.perf_counter(), time.process_time()
        connections[name].ensure_connection()
        wall, cpu = wall + time.perf_counter() - started, cpu + time.process_time() - used
        connections[name].close()
    print(json.dumps({"wall": wall * 1e3 / count, "cpu": cpu * 1e3 / count}), flush=True)

for line in sys.stdin:
    if not os.fork():
        connect()
        os._exit(0)
    if os.wait()[1]:
        sys.exit("a child could not connect")
connect()
try:
    # Not getrusage(): its maximum is that of the process that started this one, where that is larger.
    memory = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
except OSError:
    memory = 0
print(json.dumps({"memory": memory}), flush=True)
"""


class _Process:
    """The program above, for one engine, and all figures that it printed."""

    def __init__(self, settings_dict: Mapping[str, Any], count: int, compiled: str) -> None:
        # As pip leaves what it installs; a checkout may not be compiled.
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        arguments = json.dumps([settings_dict, count, trust.BUNDLE])
        self._popen = subprocess.Popen(  # noqa: S603 (this interpreter)
            [sys.executable, "-c", _PROGRAM, arguments], env=environ, stdin=PIPE, stdout=PIPE, text=True
        )
        self.figures: list[dict[str, float]] = []
        self._read()

    def _read(self) -> None:
        assert self._popen.stdout  # noqa: S101 (for the type checker)
        self.figures.append(json.loads(self._popen.stdout.readline()))

    def connect(self) -> None:
        assert self._popen.stdin  # noqa: S101 (for the type checker)
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()
        self._read()

    def end(self) -> None:
        last, _ = self._popen.communicate()
        if self._popen.returncode:
            raise subprocess.CalledProcessError(self._popen.returncode, "the program above")
        self.figures.extend(map(json.loads, last.splitlines()))


def _medians(
    databases: Mapping[str, Any], count: int, processes: int, connects: int
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the medians of the program's figures for this engine and for Django's, which take turns."""
    samples: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    with tempfile.TemporaryDirectory() as compiled:
        for turn in range(1 + processes):
            pair = [_Process(databases[alias], count, compiled) for alias in ("ours", "one_root")]
            # Who comes first finds the server's memory and the processor's cold.
            order = pair if turn % 2 else pair[::-1]
            # The first turn is there to compile and to fill caches.
            for _ in range(connects if turn else 0):
                for process in order:
                    process.connect()
            for process in order:
                process.end()
            if turn:
                for process, every in zip(pair, samples, strict=True):
                    every.extend(process.figures)
    ours, stock = (
        {what: _median(what, every) for what in ("ready", "modules", "wall", "cpu", "memory")} for every in samples
    )
    return ours, stock


def _median(what: str, figures: list[dict[str, float]]) -> float:
    return statistics.median(each[what] for each in figures if what in each)


def starting(databases: dict[str, Any], repeat: int) -> Table:
    table = Table("a process")
    ours, stock = _medians(databases, 1, repeat, connects=0)
    for what, figure, unit, bar in [
        ("import and set-up", "ready", "ms", ""),
        ("modules loaded", "modules", "modules", "<= 25 more"),
        ("first connect", "wall", "ms", "<= 1.05"),
        ("memory after it", "memory", "MiB", "a few per cent"),
    ]:
        table.add(what, ours[figure], stock[figure], unit, bar)
    return table


def aliases(databases: dict[str, Any], repeat: int, connects: int) -> Table:
    """connects: how many each process makes, of each number of aliases as many as of the others."""
    table = Table("aliases in one process")
    for count in ALIASES:
        ours, stock = _medians(databases, count, repeat, connects=max(1, connects // count))
        table.add(f"{count}: connect to each in turn, wall for one", ours["wall"], stock["wall"], "ms")
        table.add(f"{count}: CPU for one", ours["cpu"], stock["cpu"], "ms")
        table.add(f"{count}: memory afterwards", ours["memory"], stock["memory"], "MiB")
    return table
