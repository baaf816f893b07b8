"""Real uWSGI that forks after the site has used the database: part of ``python -m benchmarks.outage``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from demo_project.localpg import Chain, LocalPostgres
from tests.support.appservers import serving
from tests.support.settings import PASSWORD, Settings

HEADING = """| uWSGI without lazy-apps, a query at import | requests | failed |
| --- | --- | --- |"""
REQUESTS = 24


def row(name: str, engine: Settings, chain: Chain) -> str:
    """Return how many requests to three workers fail."""
    with LocalPostgres(chain) as server, tempfile.TemporaryDirectory() as folder:
        server.create("app", PASSWORD.replace("'", "''"), "app")
        kept = {**engine, "PORT": server.port, "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": None}
        with serving("uwsgi", {"default": kept}, Path(folder), SITE_AT_IMPORT="query") as site:
            answers, _ = site.many(REQUESTS, threads=6)
    return f"| {name} | {REQUESTS} | {REQUESTS - len(answers)} |"
