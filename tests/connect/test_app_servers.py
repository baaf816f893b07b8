"""Real application servers: those that fork after the site has used the database, and those that run it in threads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from demo_project.localpg import LocalPostgres
from tests.support.appservers import serving
from tests.support.load import kept
from tests.support.settings import SettingsFor
from tests.support.sql import sessions_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="application servers of Unix"),
]

POOL = {"pool": {"min_size": 1, "max_size": 4}}
needs_pool = pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")


@pytest.mark.parametrize("name", ["uwsgi", "gunicorn"])
@pytest.mark.parametrize("pooled", [False, pytest.param(True, marks=needs_pool)])
def test_workers_that_were_forked_with_a_connection(
    server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path, name: str, pooled: bool
) -> None:
    settings = kept(settings_for(server))
    if pooled:
        settings = settings_for(server, POOL, CONN_HEALTH_CHECKS=True)
    with serving(name, {"default": settings}, tmp_path, SITE_AT_IMPORT="query") as site:
        answers, errors = site.many(24, threads=6)
        assert (len(answers), errors) == (24, []), site.log[-3000:]
        # No two processes share a connection.
        owners = {each["backend"]: each["process"] for each in answers}
        assert all(owners[each["backend"]] == each["process"] for each in answers)
        assert "Traceback" not in site.log


@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
@pytest.mark.parametrize("path", ["", "async"])
def test_no_connection_is_lost_under_asgi(
    server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path, name: str, path: str
) -> None:
    settings = settings_for(server, {"application_name": f"{name}-{path}"}, CONN_MAX_AGE=0)
    with serving(name, {"default": settings}, tmp_path) as site:
        answers, errors = site.many(120, threads=6, path=path)
        assert (len(answers), errors) == (120, []), site.log[-3000:]
        assert len(server.sql(sessions_of(f"{name}-{path}")).split()) <= 6


@needs_pool
@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
def test_a_thousand_requests_under_asgi_need_no_more_connections_than_the_pool_has(
    server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path, name: str
) -> None:
    with serving(name, {"default": settings_for(server, POOL, CONN_HEALTH_CHECKS=True)}, tmp_path) as site:
        answers, errors = site.many(1000, threads=8)
        assert (len(answers), errors) == (1000, []), site.log[-3000:]
        assert len({each["backend"] for each in answers}) <= 4
