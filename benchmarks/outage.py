"""Rehearse outages with real parts, with this engine and Django's own: ``python -m benchmarks.outage``.

Four workers write one row per request, as web requests do, while something breaks. Django's own has the settings that
its documentation recommends (CONN_HEALTH_CHECKS) and the same verified TLS. Nothing is retried but by the engine. Two
small tables follow: one of two databases down, and uWSGI's forks, if uWSGI is installed beside this Python.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import ConnectionHandler
from django.db.utils import Error

from azpg_backend.process import memory
from benchmarks import neighbours, prefork
from benchmarks.stage import STOCK
from benchmarks.table import versions
from demo_project.localpg import Chain, LocalPostgres, azure_chain
from tests.support.load import create_table, stored
from tests.support.pair import streaming_pair, switch_over
from tests.support.pgbouncer import PROGRAM, PgBouncer
from tests.support.servers import Relay, carry, listening
from tests.support.settings import HOST, PASSWORD, Settings

WORKERS = 4
# Seconds after which a worker that has not written again is given up.
PATIENCE = 25.0

Fault = Callable[[], object]


@dataclass(frozen=True)
class Scene:
    """What an event happens to.

    port: where the application connects.
    servers: which have the writes, once it is over.
    fault: what happens; it returns when everything is back.
    """

    port: int
    servers: tuple[LocalPostgres, ...]
    fault: Fault


@dataclass(frozen=True)
class Event:
    """name: for the table. scene: sets it up. changes: settings. options: of libpq, or of the pool.

    rest: whether the workers do nothing while it happens, so that every connection is idle.
    """

    name: str
    scene: Callable[[Chain], contextlib.AbstractContextManager[Scene]]
    changes: Settings
    options: Settings
    rest: bool = False


class Worker(threading.Thread):
    """Writes until it is told to stop. All times are time.monotonic()'s."""

    def __init__(self, databases: dict[str, Settings], numbers: Iterator[int], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._databases, self._numbers, self._stopping = databases, numbers, stop
        self.acknowledged: list[tuple[int, float, float]] = []
        # Each request that failed, and when it began.
        self.failed: list[tuple[int, float]] = []
        self.longest = 0.0
        self._since = 0.0
        self.may_work = threading.Event()
        self.may_work.set()

    def run(self) -> None:
        wrapper = ConnectionHandler(self._databases)["default"]
        while not self._stopping.is_set():
            self.may_work.wait()
            number, self._since = next(self._numbers), time.monotonic()
            try:
                wrapper.close_if_unusable_or_obsolete()
                with wrapper.cursor() as cursor:
                    cursor.execute("INSERT INTO written VALUES (%s)", [number])
                self.acknowledged.append((number, self._since, time.monotonic()))
            except Error:
                self.failed.append((number, self._since))
            wrapper.close_if_unusable_or_obsolete()
            self.longest, self._since = max(self.longest, time.monotonic() - self._since), 0.0
            time.sleep(0.01)
        wrapper.close()

    def longest_yet(self) -> float:
        """Return the longest request, counting one that still waits."""
        return max(self.longest, time.monotonic() - self._since if self._since else 0.0)

    def back(self, since: float) -> float | None:
        return next((end for _, start, end in list(self.acknowledged) if start > since), None)


@contextlib.contextmanager
def writing(database: Settings) -> Iterator[list[Worker]]:
    """Let workers write, each of which has written before the block begins; at its end they stop."""
    numbers, stop = itertools.count(1), threading.Event()
    workers = [Worker({"default": database}, numbers, stop) for _ in range(WORKERS)]
    for each in workers:
        each.start()
    until(lambda: all(each.acknowledged for each in workers), 60)
    try:
        yield workers
    finally:
        stop.set()
        for each in workers:
            each.join(2)


def rehearse(event: Event, engine: Settings, chain: Chain) -> str:
    """Return what became of the requests, as cells of the table."""
    memory.forget()
    with event.scene(chain) as scene:
        database = {**engine, **event.changes, "PORT": scene.port}
        database["OPTIONS"] = {**engine["OPTIONS"], **event.options}
        with writing(database) as workers:
            for each in workers if event.rest else []:
                each.may_work.clear()
            time.sleep(0.3)
            began = time.monotonic()
            scene.fault()
            over = time.monotonic()
            for each in workers:
                each.may_work.set()
            back = until(lambda: all(each.back(over) for each in workers), PATIENCE)
            longest = max(each.longest_yet() for each in workers)
        acknowledged = {number for each in workers for number, _, _ in list(each.acknowledged)}
        lost = len(acknowledged - stored(*scene.servers))
        ended = [each.back(over) for each in workers]
        after = f"{max(filter(None, ended)) - over:.1f} s" if back else f"not in {PATIENCE:.0f} s"
        _close_pool(database)
        failed = [since for each in workers for _, since in each.failed]
        later = sum(since > over for since in failed)
        return f"{over - began:.1f} s | {len(failed)} | {later} | {lost} | {longest:.1f} s | {after}"


def until(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def _close_pool(database: Settings) -> None:
    pools = getattr(ConnectionHandler({"default": database})["default"], "_connection_pools", {})
    for alias in list(pools):
        pools.pop(alias).close(timeout=1)


@contextlib.contextmanager
def one_server(chain: Chain) -> Iterator[LocalPostgres]:
    # A killed server first writes its whole folder to the disk, which takes seconds if others write too.
    with LocalPostgres(chain, durable=True, settings={"recovery_init_sync_method": "syncfs"}) as server:
        server.create("app", PASSWORD.replace("'", "''"), "app")
        create_table(server)
        os.sync()
        yield server


def restart(seconds: float, end: Callable[[LocalPostgres], object]) -> Any:
    @contextlib.contextmanager
    def scene(chain: Chain) -> Iterator[Scene]:
        with one_server(chain) as server:

            def fault() -> None:
                began = time.monotonic()
                end(server)
                time.sleep(max(0.0, seconds - (time.monotonic() - began)))
                server.start()

            yield Scene(server.port, (server,), fault)

    return scene


@contextlib.contextmanager
def switchover(chain: Chain) -> Iterator[Scene]:
    with streaming_pair(chain) as (primary, standby), Relay(primary.port) as name:
        create_table(primary)

        def fault() -> None:
            switch_over(primary, standby)
            time.sleep(2)
            name.target = standby.port

        yield Scene(name.port, (standby,), fault)


@contextlib.contextmanager
def pooler(chain: Chain) -> Iterator[Scene]:
    with one_server(chain) as server, PgBouncer(server) as bouncer:

        def fault() -> None:
            bouncer.stop(signal.SIGINT)
            time.sleep(1)
            bouncer.start()

        yield Scene(bouncer.port, (server,), fault)


@contextlib.contextmanager
def behind_a_pooler(chain: Chain) -> Iterator[Scene]:
    with one_server(chain) as server, PgBouncer(server, settings="server_login_retry = 1\n") as bouncer:

        def fault() -> None:
            server.stop()
            time.sleep(1)
            server.start()

        yield Scene(bouncer.port, (server,), fault)


@contextlib.contextmanager
def half_open(chain: Chain) -> Iterator[Scene]:
    """Every flow goes silent at once, and new ones work."""
    with one_server(chain) as server, Relay(server.port) as path:
        yield Scene(path.port, (server,), path.silence_flows)


@contextlib.contextmanager
def pause(chain: Chain) -> Iterator[Scene]:
    with one_server(chain) as server, Relay(server.port) as path:

        def fault() -> None:
            path.silence()
            time.sleep(15)
            path.resume()

        yield Scene(path.port, (server,), fault)


@contextlib.contextmanager
def slow_logins(chain: Chain) -> Iterator[Scene]:
    """From one moment on each login takes 4 s, and every connection has to be made anew."""
    with one_server(chain) as server:
        delay = [0.0]

        def behave(visitor: Any) -> None:
            time.sleep(delay[0])
            carry(visitor, server.port)

        def fault() -> None:
            delay[0] = 4.0
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
            # Until each worker's end has arrived: what is rehearsed is the login, not the death.
            time.sleep(0.5)

        with listening(behave) as port:
            yield Scene(port, (server,), fault)


CHECKED: Settings = {"CONN_HEALTH_CHECKS": True}
KEPT: Settings = {**CHECKED, "CONN_MAX_AGE": None}
POOL: Settings = {"pool": {"min_size": 6, "max_size": 6}}


BEHIND: Settings = {**KEPT, "DISABLE_SERVER_SIDE_CURSORS": True}


def events(pool: bool) -> list[Event]:
    found = [
        Event("restart, pool of 6", restart(0.2, LocalPostgres.stop), CHECKED, POOL),
        Event("restart, pool of 6 idle", restart(0.2, LocalPostgres.stop), CHECKED, POOL, rest=True),
        Event("restart of 1 s", restart(1, LocalPostgres.stop), KEPT, {}),
        Event("SIGKILL, back after 3 s", restart(3, LocalPostgres.kill), KEPT, {}),
        Event("switchover, name 2 s late", switchover, KEPT, {}),
        Event("PgBouncer restarted in 1 s", pooler, BEHIND, {}),
        Event("restart of 1 s behind PgBouncer", behind_a_pooler, BEHIND, {}),
        Event("all flows half-open", half_open, KEPT, {}),
        Event("path silent for 15 s", pause, KEPT, {}),
        Event("logins that take 4 s", slow_logins, KEPT, {"connect_timeout": 30}, rest=True),
    ]
    scenes = {pooler, behind_a_pooler}
    return [each for each in found if (pool or not each.options.get("pool")) and (PROGRAM or each.scene not in scenes)]


def engines_for(chain: Chain, folder: Path) -> dict[str, Settings]:
    """Return settings of this engine and of Django's own, by name, with the same verified TLS."""
    root = folder / "root.pem"
    root.write_text(chain.root_pem)
    path = {"hostaddr": "127.0.0.1", "sslrootcert": str(root)}
    base = {"NAME": "app", "USER": "app", "PASSWORD": PASSWORD, "HOST": HOST}
    return {
        "this engine": {**base, "ENGINE": "azpg_backend", "OPTIONS": path},
        "Django's": {**base, "ENGINE": STOCK, "OPTIONS": {**path, "sslmode": "verify-full"}},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="events whose name has this in it")
    only = parser.parse_args().only
    settings.configure(USE_TZ=True)
    django.setup()
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    chain = azure_chain(HOST)
    with tempfile.TemporaryDirectory() as folder:
        engines = engines_for(chain, Path(folder))
        print(f"{versions()}, {WORKERS} workers\n")
        print("| event | engine | lasts | failed requests | begun after it | lost writes | longest wait | back after |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for event in events(is_psycopg3):
            if only in event.name:
                for name, engine in engines.items():
                    print(f"| {event.name} | {name} | {rehearse(event, engine, chain)} |", flush=True)
        for part in [neighbours, *([prefork] if Path(sys.executable).with_name("uwsgi").exists() else [])]:
            if only in part.HEADING:
                print(f"\n{part.HEADING}")
                for name, engine in engines.items():
                    print(part.row(name, engine, chain), flush=True)


if __name__ == "__main__":
    main()
