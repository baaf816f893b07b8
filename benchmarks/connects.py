"""Connecting, alone and from many threads, and what comes after it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

from django.db import connections

from benchmarks.table import Table, measured

THREADS = (1, 8, 32, 128)


def connecting(alias: str) -> Callable[[], None]:
    def connect() -> None:
        connections[alias].ensure_connection()
        connections[alias].close()

    return connect


def connects(repeat: int) -> Table:
    table = Table("connect")
    times = measured({alias: connecting(alias) for alias in ("ours", "one_root", "same", "certifi", "require")}, repeat)
    ours = times["ours"]
    for alias, name, wall_bar, cpu_bar in (
        ("one_root", "verify-full, one root", "", "<= 1.10"),
        ("same", "verify-full, the same roots", "", "<= 1.05"),
        ("certifi", "verify-full, certifi's roots", "", "<= 0.60"),
        ("require", "sslmode=require (no verification)", "", ""),
    ):
        table.add(f"wall, against {name}", ours[0], times[alias][0], "ms", wall_bar)
        table.add(f"CPU, against {name}", ours[1], times[alias][1], "ms", cpu_bar)
    return table


def threads(repeat: int) -> Table:
    """Each thread connects twice."""
    table = Table("2 connects in each of")

    def work(alias: str, number: int) -> Callable[[], None]:
        def one() -> None:
            connecting(alias)()
            connecting(alias)()

        def run() -> None:
            running = [threading.Thread(target=one) for _ in range(number)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()

        return run

    for number in THREADS:
        times = measured({alias: work(alias, number) for alias in ("ours", "one_root")}, repeat)
        table.add(f"{number} threads", times["ours"][0], times["one_root"][0], "ms")
    return table


def queries(repeat: int) -> Table:
    """Each time on a new connection: on which core its server process runs decides more than any client does."""
    table = Table("on an open connection")
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
    ours, stock = (statistics.median(taken) * 1e3 for taken in times.values())
    table.add("100 queries", ours, stock, "ms", "1.00")
    return table


def requests(repeat: int) -> Table:
    """A request as Django's signal handlers frame it, with CONN_HEALTH_CHECKS on a connection that is kept."""
    table = Table("request with a health check")

    def request(alias: str) -> Callable[[], None]:
        wrapper = connections[alias]
        wrapper.settings_dict |= {"CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": None}

        def run() -> None:
            wrapper.close_if_unusable_or_obsolete()
            with wrapper.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.fetchone()

        run()
        return run

    times = measured({alias: request(alias) for alias in ("ours", "one_root")}, repeat * 5)
    table.add("wall", times["ours"][0], times["one_root"][0], "ms")
    table.add("CPU", times["ours"][1], times["one_root"][1], "ms")
    for alias in ("ours", "one_root"):
        connections[alias].close()
        connections[alias].settings_dict |= {"CONN_HEALTH_CHECKS": False, "CONN_MAX_AGE": 0}
    return table
