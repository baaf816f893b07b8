"""Log in again and again while tokens of four seconds come and go: ``python -m tests.support.soak --seconds 3600``.

As under gunicorn with --preload: a parent that has a token forks workers, each logs in from several threads (and from
a pool, with psycopg 3), and workers are replaced all the time. Exit status 1 where a login failed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo_project.localpg import LocalPostgres, azure_chain
from tests.support.gateway import Gateway, gateway
from tests.support.settings import HOST, entra_settings_at
from tests.support.standins import HEADER, Issuer, serving

# Seconds.
TOKEN_LIFE = 4.0
WORKER_LIFE = 7.0
WORKERS = 2
THREADS = 2


@dataclass
class Count:
    """logins: those that got in. pooled: those of them through a pool. slowest: seconds. failures: what was raised."""

    logins: int = 0
    pooled: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: dict[str, Any]) -> None:
        self.logins += other["logins"]
        self.pooled += other["pooled"]
        self.slowest = max(self.slowest, other["slowest"])
        self.failures += other["failures"]


def soak(azure: Gateway, settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Run the parent and its workers in a process of their own, and return what it and the gateway counted."""
    command = [sys.executable, "-m", "tests.support.soak", "--parent", json.dumps(settings), "--seconds", str(seconds)]
    environ = {
        **os.environ,
        "IDENTITY_ENDPOINT": f"{azure.issuer.url}/msi/token",
        "IDENTITY_HEADER": HEADER,
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=seconds + 120)
    if done.returncode:
        raise RuntimeError(done.stderr)
    counted = json.loads(done.stdout)
    return {**counted, "refused": len(azure.refused), "token_requests": len(azure.issuer.requests)}


def parent(settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Fork workers until the time is over."""
    import django
    from django.conf import settings as django_settings
    from django.db import connections

    pool = {"min_size": 1, "max_size": 3, "timeout": 60, "max_lifetime": 1.5, "max_idle": 1.0}
    databases = {"default": settings}
    if importlib.util.find_spec("psycopg_pool"):
        databases["pooled"] = {**settings, "OPTIONS": {**settings["OPTIONS"], "pool": pool}}
    django_settings.configure(DATABASES=databases, USE_TZ=True)
    django.setup()
    connections["default"].ensure_connection()
    connections["default"].close()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    total, workers, forks = Count(), [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or workers:
        for each in workers[:]:
            if not each.is_alive():
                each.join()
                workers.remove(each)
        while time.monotonic() < end and len(workers) < WORKERS:
            # The second dies earlier, so that forks fall into every moment of a token's life.
            life = min(WORKER_LIFE - forks % 5, max(0.5, end - time.monotonic()))
            worker = context.Process(target=work, args=(list(databases), life, results))
            worker.start()
            workers.append(worker)
            forks += 1
        while not results.empty():
            total.add(results.get())
        time.sleep(0.05)
    while not results.empty():
        total.add(results.get())
    return {"workers": forks, **vars(total)}


def work(aliases: list[str], seconds: float, results: Any) -> None:
    count, lock, end = Count(), threading.Lock(), time.monotonic() + seconds

    def log_in(alias: str) -> None:
        from django.db import connections

        while time.monotonic() < end:
            started = time.monotonic()
            try:
                with connections[alias].cursor() as cursor:
                    cursor.execute("SELECT current_user")
                    failure = "" if cursor.fetchone() == ("app",) else "another user"
            except Exception as error:  # noqa: BLE001 (whatever it is, it is what this looks for)
                failure = f"{type(error).__name__}: {error}"
            with contextlib.suppress(Exception):
                connections[alias].close()
            with lock:
                count.logins += not failure
                count.pooled += not failure and alias == "pooled"
                count.slowest = max(count.slowest, time.monotonic() - started)
                count.failures += filter(None, [failure])
            time.sleep(0.05)

    threads = [threading.Thread(target=log_in, args=[alias]) for alias in aliases for _ in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    results.put(vars(count))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--parent", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.parent:
        print(json.dumps(parent(json.loads(arguments.parent), arguments.seconds)))
        return 0
    chain = azure_chain(HOST)
    hba = ("hostnossl all all 127.0.0.1/32 trust",)
    with (
        LocalPostgres(chain, hba=hba) as server,
        serving(Issuer(life=TOKEN_LIFE)) as issuer,
        gateway(issuer, server, chain) as azure,
        tempfile.TemporaryDirectory() as folder,
    ):
        server.create("app", "unknown to all", "app")
        root = Path(folder, "root.pem")
        root.write_text(chain.root_pem)
        counted = soak(azure, entra_settings_at(azure.port, str(root)), arguments.seconds)
    print(json.dumps(counted, indent=2))
    return 1 if counted["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
