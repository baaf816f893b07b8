"""What a process pays before its first query: imports, memory, the first connect, and many aliases."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from azpg_backend import trust
from benchmarks.table import Table

ALIASES = (1, 10, 50, 200)

# Arguments: the alias, how often it is repeated under other names, and the package's two CA files.
_PROGRAM = """
import json, sys, time
settings_dict, count, bundle, in_use = json.loads(sys.argv[1])
started = time.perf_counter()
import django
from django.conf import settings
names = ["default", *(f"alias{number}" for number in range(1, count))]
settings.configure(DATABASES={name: settings_dict for name in names}, USE_TZ=True)
django.setup()
from django.db import connection, connections
connection.vendor
ready, modules = time.perf_counter() - started, len(sys.modules)
if "azpg_backend.trust" in sys.modules:
    sys.modules["azpg_backend.trust"].BUNDLE, sys.modules["azpg_backend.trust"].IN_USE = bundle, in_use
started = time.perf_counter()
connection.ensure_connection()
first = time.perf_counter() - started
connection.close()
started, used = time.perf_counter(), time.process_time()
for name in names:
    connections[name].ensure_connection()
    connections[name].close()
every, cpu = time.perf_counter() - started, time.process_time() - used
try:
    # Not getrusage(): its maximum is that of the process that started this one, where that is larger.
    memory = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
except OSError:
    memory = 0
print(json.dumps([ready * 1e3, modules, first * 1e3, memory, every * 1e3 / count, cpu * 1e3 / count]))
"""


def _figures(databases: dict[str, Any], count: int, repeat: int) -> dict[str, list[float]]:
    """Return the medians of the program's figures for both engines, which run in turn."""
    rows: dict[str, list[list[float]]] = {"ours": [], "one_root": []}
    with tempfile.TemporaryDirectory() as compiled:
        # As pip leaves what it installs; a checkout may not be compiled.
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(1 + repeat):
            for alias, figures in rows.items():
                arguments = json.dumps([databases[alias], count, trust.BUNDLE, trust.IN_USE])
                done = subprocess.run(  # noqa: S603 (this interpreter)
                    [sys.executable, "-c", _PROGRAM, arguments], env=environ, capture_output=True, text=True, check=True
                )
                if turn:
                    figures.append(json.loads(done.stdout))
    return {
        alias: [statistics.median(column) for column in zip(*figures, strict=True)] for alias, figures in rows.items()
    }


def starting(databases: dict[str, Any], repeat: int) -> Table:
    table = Table("a process")
    figures = _figures(databases, 1, repeat)
    for place, (what, unit, bar) in enumerate(
        [
            ("import and set-up", "ms", ""),
            ("modules loaded", "modules", "<= 25 more"),
            ("first connect", "ms", "<= 1.05"),
            ("memory after it", "MiB", "a few per cent"),
        ]
    ):
        table.add(what, figures["ours"][place], figures["one_root"][place], unit, bar)
    return table


def aliases(databases: dict[str, Any], repeat: int) -> Table:
    table = Table("aliases in one process")
    for count in ALIASES:
        figures = _figures(databases, count, repeat)
        ours, stock = figures["ours"], figures["one_root"]
        table.add(f"{count}: connect to each in turn, wall for one", ours[4], stock[4], "ms")
        table.add(f"{count}: CPU for one", ours[5], stock[5], "ms")
        table.add(f"{count}: memory afterwards", ours[3], stock[3], "MiB")
    return table
