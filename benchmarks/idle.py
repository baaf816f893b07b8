"""What asking after a shorter rest costs, and what it saves: ``python -m benchmarks.idle``.

A connection that rested for longer than a limit (health.ASK_AFTER_IDLE) is asked before a request uses it. Requests
come at random to one connection, over a path whose round trip takes 2 ms. For each limit and each rate: how many
requests ask, how much longer a request takes on average, and how many of the flows that vanish without a word between
two requests cost the second one, because its rest was shorter. Rests are claimed, not slept.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import ConnectionHandler

from azpg_backend.connect import health
from benchmarks.table import versions
from benchmarks.trips import Relay
from demo_project.localpg import LocalPostgres, azure_chain
from tests.support.settings import HOST, PASSWORD, settings_at

# Seconds. 0 asks each time, as Django's own does.
LIMITS = (0.0, 0.2, 1.0, 5.0, 30.0)
# Seconds between two requests of one connection, on average.
RESTS = (0.1, 0.5, 1.0, 5.0, 30.0)
ONE_WAY = 0.001


def seconds(wrapper: Any, rest: float) -> float:
    """Return how long a request takes whose connection rested for so long."""
    wrapper._used_at = time.monotonic() - rest
    started = time.perf_counter()
    wrapper.is_usable()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
    return time.perf_counter() - started


def row(wrapper: Any, mean: float, requests: int) -> str:
    # The same rests for each limit.
    chance = random.Random(20261125)  # noqa: S311 (no secret depends on it)
    rests = [chance.expovariate(1 / mean) for _ in range(requests)]
    cells = []
    for limit in LIMITS:
        health.ASK_AFTER_IDLE = limit
        taken = statistics.fmean(seconds(wrapper, rest) for rest in rests) * 1e3
        asked = sum(rest > limit for rest in rests) / requests
        # A flow is as likely to vanish in each moment, so more likely in a longer rest.
        lost = sum(rest for rest in rests if rest <= limit) / sum(rests)
        cells.append(f"{asked:.0%}, {taken:.1f} ms, {lost:.0%}")
    return f"| {mean:g} s | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300, help="for each line of the table (default: 300)")
    requests = parser.parse_args().requests
    settings.configure(USE_TZ=True)
    django.setup()
    chain = azure_chain(HOST)
    with tempfile.TemporaryDirectory() as folder, LocalPostgres(chain) as server:
        server.create("app", PASSWORD.replace("'", "''"), "app")
        root = Path(folder, "root.pem")
        root.write_text(chain.root_pem)
        path = Relay(server.port)
        path.delay = ONE_WAY
        wrapper: Any = ConnectionHandler({"default": settings_at(path.port, str(root))})["default"]
        wrapper.ensure_connection()
        print(f"{versions()}, round trip {2e3 * ONE_WAY:g} ms\n")
        print(f"| a request every | {' | '.join(f'after {limit:g} s' if limit else 'always' for limit in LIMITS)} |")
        print(f"| --- | {' | '.join('---' for _ in LIMITS)} |")
        for mean in RESTS:
            print(row(wrapper, mean, requests), flush=True)
        wrapper.close()
        path.close()


if __name__ == "__main__":
    main()
