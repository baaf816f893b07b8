"""One of two databases is down: what that costs the requests to the other, part of ``python -m benchmarks.outage``."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from typing import Any

from django.db import ConnectionHandler
from django.db.utils import Error

from azpg_backend.process import memory
from demo_project.localpg import Chain, LocalPostgres
from tests.support.settings import PASSWORD, Settings

HEADING = """| one of two databases down | a request to the other, before | during | ratio | longest | failed |
| --- | --- | --- | --- | --- | --- |"""
WORKERS = 4
# Seconds of each measurement.
BEFORE, DURING = 3.0, 10.0


def row(name: str, engine: Settings, chain: Chain) -> str:
    """Return what four workers meet, who ask both databases in turn and write to neither."""
    memory.forget()
    with LocalPostgres(chain) as good, LocalPostgres(chain) as bad:
        for each in (good, bad):
            each.create("app", PASSWORD.replace("'", "''"), "app")
        kept = {**engine, "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": None}
        databases = {"default": {**kept, "PORT": good.port}, "bad": {**kept, "PORT": bad.port}}
        before, _ = _asked(databases, BEFORE)
        bad.stop()
        during, failed = _asked(databases, DURING)
    medians = [statistics.median(each) * 1e3 for each in (before, during)]
    figures = f"{medians[0]:.2f} ms | {medians[1]:.2f} ms | {medians[1] / medians[0]:.2f} | {max(during) * 1e3:.1f} ms"
    return f"| {name} | {figures} | {failed} |"


def _asked(databases: Mapping[str, Settings], seconds: float) -> tuple[list[float], int]:
    """Return how long each request to the healthy database took, and how many of them failed."""
    end = time.monotonic() + seconds
    taken: list[float] = []
    failed: list[float] = []

    def work() -> None:
        connections = ConnectionHandler(dict(databases))
        while time.monotonic() < end:
            _ask(connections["bad"])
            started = time.monotonic()
            (taken if _ask(connections["default"]) else failed).append(time.monotonic() - started)
            time.sleep(0.01)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return taken, len(failed)


def _ask(wrapper: Any) -> bool:
    wrapper.close_if_unusable_or_obsolete()
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.005)")
    except Error:
        wrapper.close()
        return False
    return True
