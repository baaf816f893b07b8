"""What became of the writes that failed when their server was killed: ``python -m benchmarks.doubt``.

Four workers write one row per request, outside of transactions, and the server ends by SIGKILL, again and again. A
write that failed and stands in the table all the same would stand there twice if an engine had repeated it.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

import django
from django.conf import settings

from azpg_backend.process import memory
from benchmarks.outage import KEPT, PATIENCE, WORKERS, engines_for, one_server, until, writing
from benchmarks.table import versions
from demo_project.localpg import Chain, azure_chain
from tests.support.load import stored
from tests.support.settings import HOST, Settings


def killed(engine: Settings, chain: Chain) -> tuple[int, int]:
    """Kill a server once; return how many writes failed, and how many of them are in the table."""
    memory.forget()
    with one_server(chain) as server:
        with writing({**engine, **KEPT, "PORT": server.port}) as workers:
            time.sleep(0.5)
            server.kill()
            server.start()
            over = time.monotonic()
            until(lambda: all(each.back(over) for each in workers), PATIENCE)
        failed = {number for each in workers for number, _ in each.failed}
        return len(failed), len(failed & stored(server))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="how often the server is killed")
    times = parser.parse_args().times
    settings.configure(USE_TZ=True)
    django.setup()
    logging.disable(logging.CRITICAL)
    chain = azure_chain(HOST)
    with tempfile.TemporaryDirectory() as folder:
        engine = engines_for(chain, Path(folder))["this engine"]
        results = [killed(engine, chain) for _ in range(times)]
    print(f"{versions()}, {WORKERS} workers\n")
    print("| kills | without a failed write | failed writes | of these, stored |")
    print("| --- | --- | --- | --- |")
    failed, kept = map(sum, zip(*results, strict=True))
    print(f"| {times} | {sum(not each for each, _ in results)} | {failed} | {kept} |")


if __name__ == "__main__":
    main()
