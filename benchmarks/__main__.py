"""Compare the engine with Django's own on one local server: ``python -m benchmarks``.

Both run interleaved in one process tree, and every figure is a ratio of medians, so that a busy machine slows both.
Needs the extra ``demo`` and certifi (which comes with requests).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import django
from django.conf import settings
from django.db import connections

from azpg_backend import libpq, negotiation, trust
from demo_project.localpg import LocalPostgres, azure_chain

HOST = "benchmark.postgres.database.azure.com"
STOCK = "django.db.backends.postgresql"
PASSWORD = "benchmark0password"  # noqa: S105 (of a server that lives for a minute)


class Turns:
    """A relay that counts round trips: how often the client speaks after the server did."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.count = 0
        self._last = "server"
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
                for source, target, who in ((client, server, "client"), (server, client, "server")):
                    threading.Thread(target=self._pump, args=(source, target, who), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, who: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self.count += who == "client" and self._last == "server"
                    self._last = who
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    @contextlib.contextmanager
    def counting(self) -> Iterator[list[int]]:
        before, result = self.count, [0]
        self._last = "server"
        yield result
        result[0] = self.count - before

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Table:
    """The rows that are printed: what was compared, both figures, their ratio and the bar."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str, str]] = []

    def add(self, what: str, ours: float, stock: float, unit: str, bar: str) -> None:
        ratio = f"{ours / stock:.2f}" if stock and unit != "trips" else ""
        digits = 0 if unit in {"trips", "modules"} else 2
        self.rows.append((what, f"{ours:.{digits}f} {unit}", f"{stock:.{digits}f} {unit}", ratio, bar))

    def __str__(self) -> str:
        lines = ["| what | this engine | Django's | ratio | bar |", "| --- | --- | --- | --- | --- |"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


def measured(actions: dict[str, Callable[[], object]], repeat: int) -> dict[str, tuple[float, float]]:
    """Run actions in turn and return the median wall and CPU time of each, in milliseconds."""
    wall: dict[str, list[float]] = {name: [] for name in actions}
    cpu: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeat):
        for name, action in actions.items():
            started, used = time.perf_counter(), time.process_time()
            action()
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - used)
    return {name: (statistics.median(wall[name]) * 1e3, statistics.median(cpu[name]) * 1e3) for name in actions}


def connecting(alias: str) -> Callable[[], None]:
    def connect() -> None:
        connections[alias].ensure_connection()
        connections[alias].close()

    return connect


def connects(table: Table, repeat: int) -> None:
    times = measured({alias: connecting(alias) for alias in ("ours", "one_root", "certifi", "require")}, repeat)
    ours = times["ours"]
    for alias, name, wall_bar, cpu_bar in (
        ("one_root", "verify-full, one root", "<= 1.05", "<= 1.05"),
        ("certifi", "verify-full, certifi's roots", "", "<= 0.60"),
        ("require", "sslmode=require (no verification)", "", ""),
    ):
        table.add(f"connect, wall, against {name}", ours[0], times[alias][0], "ms", wall_bar)
        table.add(f"connect, CPU, against {name}", ours[1], times[alias][1], "ms", cpu_bar)


def round_trips(table: Table, server: LocalPostgres) -> None:
    turns = Turns(server.port)
    for alias in ("ours", "one_root"):
        connections[alias].settings_dict["PORT"] = turns.port
    negotiation.forget()
    counted: dict[str, list[int]] = {"ours": [], "one_root": []}
    for alias, counts in counted.items():
        for _ in range(3):
            with turns.counting() as count:
                connections[alias].ensure_connection()
            counts.append(count[0])
            connections[alias].close()
    table.add("first connect", counted["ours"][0], counted["one_root"][0], "trips", "")
    table.add("later connects", counted["ours"][2], counted["one_root"][2], "trips", "one fewer")
    checks: dict[str, int] = {}
    for alias in counted:
        connections[alias].settings_dict["CONN_HEALTH_CHECKS"] = True
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
        with turns.counting() as count:
            connections[alias].is_usable()
        checks[alias] = count[0]
        connections[alias].close()
        connections[alias].settings_dict["PORT"] = server.port
    table.add("health check of a warm connection", checks["ours"], checks["one_root"], "trips", "0")
    turns.close()


def queries(table: Table, repeat: int) -> None:
    """Each time on a new connection: on which core its server process runs decides more than any client does."""
    times: dict[str, list[float]] = {"ours": [], "one_root": []}
    for _ in range(repeat):
        for alias, taken in times.items():
            with connections[alias].cursor() as cursor:
                started = time.perf_counter()
                for _ in range(100):
                    cursor.execute("SELECT 1")
                    cursor.fetchone()
                taken.append(time.perf_counter() - started)
            connections[alias].close()
    medians = {alias: statistics.median(taken) * 1e3 for alias, taken in times.items()}
    table.add("100 queries", medians["ours"], medians["one_root"], "ms", "1.00")


def threads(table: Table, number: int) -> None:
    """Each of so many threads connects four times."""

    def work(alias: str) -> Callable[[], None]:
        def run() -> None:
            def one() -> None:
                for _ in range(4):
                    connecting(alias)()

            running = [threading.Thread(target=one) for _ in range(number)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()

        return run

    times = measured({"ours": work("ours"), "one_root": work("one_root")}, 3)
    table.add(f"4 connects in each of {number} threads", times["ours"][0], times["one_root"][0], "ms", "")


STARTING = """
import json, sys, time
started = time.perf_counter()
import django
from django.conf import settings
settings.configure(DATABASES={"default": json.loads(sys.argv[1])}, USE_TZ=True)
django.setup()
from django.db import connection
connection.vendor
ready, modules = time.perf_counter() - started, len(sys.modules)
connection.ensure_connection()
first = time.perf_counter() - started - ready
try:
    import resource
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
except ImportError:
    memory = 0
print(json.dumps([ready * 1e3, modules, first * 1e3, memory]))
"""


def starting(table: Table, repeat: int) -> None:
    figures: dict[str, list[list[float]]] = {"ours": [], "one_root": []}
    for _ in range(repeat):
        for alias, rows in figures.items():
            kept = {key: connections[alias].settings_dict[key] for key in ("ENGINE", "NAME", "USER", "HOST", "PORT")}
            kept |= {"PASSWORD": PASSWORD, "OPTIONS": connections[alias].settings_dict["OPTIONS"]}
            command = [sys.executable, "-c", STARTING, json.dumps(kept)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
            rows.append(json.loads(done.stdout))
    medians = {
        alias: [statistics.median(column) for column in zip(*rows, strict=True)] for alias, rows in figures.items()
    }
    for place, (what, unit, bar) in enumerate(
        [
            ("import and set-up", "ms", ""),
            ("modules loaded", "modules", "<= 25 more"),
            ("first connect of a process", "ms", "<= 1.05"),
            ("memory after it", "MiB", "a few per cent"),
        ]
    ):
        table.add(what, medians["ours"][place], medians["one_root"][place], unit, bar)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=100, help="connects to take the median of (default: 100)")
    repeat = parser.parse_args().repeat
    chain = azure_chain(HOST)
    with LocalPostgres(chain, settings={"max_connections": 200}) as server, tempfile.TemporaryDirectory() as name:
        server.create("app", PASSWORD, "app")
        folder = Path(name)
        files = {"packaged": Path(trust.BUNDLE), "certifi": Path(certifi.where())}
        for label, bundle in files.items():
            (folder / label).write_text(chain.root_pem + bundle.read_text("utf-8"), "utf-8")
        (folder / "one").write_text(chain.root_pem)
        base: dict[str, Any] = {"NAME": "app", "USER": "app", "PASSWORD": PASSWORD, "HOST": HOST, "PORT": server.port}

        def alias(engine: str, **options: str) -> dict[str, Any]:
            return {**base, "ENGINE": engine, "OPTIONS": {"hostaddr": "127.0.0.1", **options}}

        databases = {
            # The seven roots in the package and the one of this server.
            "ours": alias("azpg_backend", sslrootcert=str(folder / "packaged")),
            "one_root": alias(STOCK, sslmode="verify-full", sslrootcert=str(folder / "one")),
            "certifi": alias(STOCK, sslmode="verify-full", sslrootcert=str(folder / "certifi")),
            "require": alias(STOCK, sslmode="require"),
        }
        settings.configure(DATABASES={**databases, "default": databases["ours"]}, USE_TZ=True)
        django.setup()
        from django.db.backends.postgresql.psycopg_any import is_psycopg3

        table = Table()
        connects(table, repeat)
        round_trips(table, server)
        queries(table, max(20, repeat // 2))
        for number in (1, 32, 128):
            threads(table, number)
        starting(table, max(5, repeat // 10))
        driver = "psycopg 3" if is_psycopg3 else "psycopg2"
        version = server.sql("SHOW server_version")
        print(f"Django {django.__version__}, {driver}, libpq {libpq.version_text()}, PostgreSQL {version}\n")
        print(table)


if __name__ == "__main__":
    main()
