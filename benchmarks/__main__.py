"""Compare the engine with Django's own: ``python -m benchmarks``.

Both run in turn in one process tree on one core against local servers, and every ratio is one of medians, so that a
busy machine slows both. PostgreSQL 15 is compared too where Debian has it. Needs the extra ``benchmarks``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

import django
from django.conf import settings

from benchmarks import connects, stage, starting, table, trips
from demo_project.localpg import LocalPostgres, azure_chain

OLDER = Path("/usr/lib/postgresql/15/bin")
# As on Azure: with another time zone Django sets its own on every new connection.
SETTINGS = {"timezone": "UTC"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=100, help="connects to take the median of (default: 100)")
    repeat = parser.parse_args().repeat
    if hasattr(os, "sched_setaffinity"):
        # With several cores, where the system puts each new server process decides more than either engine does.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    chain = azure_chain(stage.HOST)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(LocalPostgres(chain, settings={"max_connections": 200, **SETTINGS}))
        server.create("app", stage.PASSWORD, "app")
        paths = stage.with_local_root(chain, folder)
        databases = stage.aliases(paths, server.port)
        settings.configure(DATABASES=databases, USE_TZ=True)
        django.setup()
        version = server.sql("SHOW server_version").split()[0]
        print(f"{table.versions()}, PostgreSQL {version}")
        few = max(1, repeat // 20)
        print(f"\n{connects.connects(repeat)}", flush=True)
        print(f"\n{trips.round_trips(server, version)}", flush=True)
        if OLDER.is_dir():
            older = stack.enter_context(LocalPostgres(chain, bin_dir=OLDER, settings=SETTINGS))
            older.create("app", stage.PASSWORD, "app")
            print(f"\n{trips.round_trips(older, older.sql('SHOW server_version').split()[0])}", flush=True)
        print(f"\n{trips.retried_hello(server, databases, paths['one'])}", flush=True)
        print(f"\n{connects.requests(repeat)}", flush=True)
        print(f"\n{connects.queries(max(2, repeat // 2))}", flush=True)
        print(f"\n{connects.threads(few)}", flush=True)
        print(f"\n{starting.starting(databases, max(1, repeat // 3))}", flush=True)
        print(f"\n{starting.aliases(databases, min(3, few), min(starting.ALIASES[-1], 2 * repeat))}", flush=True)


if __name__ == "__main__":
    main()
