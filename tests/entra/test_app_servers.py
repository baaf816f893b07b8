"""Real application servers and Celery with a token that was fetched before the fork, or by greenlets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from demo_project.localpg import LocalPostgres
from tests.support.appservers import serving
from tests.support.gateway import Gateway
from tests.support.settings import EntraSettings
from tests.support.tasks import PROCESSES, create_table, owners, rows, worker
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="uWSGI is Unix's")]


@pytest.mark.parametrize("name", ["uwsgi", "uwsgi, with hooks", "gunicorn, threads"])
def test_workers_go_on_with_the_token_and_not_with_its_thread(
    azure: Gateway, entra_settings: EntraSettings, tmp_path: Path, name: str
) -> None:
    settings = {**entra_settings(azure.port, connect_timeout=120), "CONN_MAX_AGE": 0}
    with serving(name, {"default": settings}, tmp_path, SITE_AT_IMPORT="query") as site:
        answers, errors = site.many(24, threads=6)
        assert (len(answers), errors) == (24, []), site.log[-3000:]
    assert azure.accepted >= 25
    # The one that the site fetched when it was imported.
    assert len(azure.issuer.requests) == 1


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_greenlets_share_one_token(azure: Gateway, entra_settings: EntraSettings, tmp_path: Path, driver: str) -> None:
    """The thread that fetches it is a greenlet too."""
    pytest.importorskip("gevent")
    pytest.importorskip("psycogreen" if driver == "psycopg2" else driver)
    settings = {**entra_settings(azure.port, connect_timeout=120), "CONN_MAX_AGE": 0}
    with serving("gevent", {"default": settings}, tmp_path, SITE_DRIVER=driver, SITE_GREEN="1") as site:
        answers, errors = site.many(24, threads=6)
        assert (len(answers), errors) == (24, []), site.log[-3000:]
    assert len(azure.issuer.requests) == 1


def test_celery_s_workers_go_on_with_the_token(
    azure: Gateway, token_server: LocalPostgres, entra_settings: EntraSettings, tmp_path: Path
) -> None:
    """Each process has its own connections, made with the token that was fetched when the site was imported."""
    pytest.importorskip("celery")
    create_table(token_server)
    number = 20
    settings = entra_settings(azure.port, connect_timeout=120)
    with worker({"default": settings}, tmp_path, SITE_AT_IMPORT="query") as tasks:
        tasks.send(range(number))
        tasks.wait(number)
        until(lambda: len(tasks.failed()) + len(rows(token_server)) == number)
    assert tasks.failed() == {}
    assert owners(rows(token_server)) == PROCESSES
    assert len(azure.issuer.requests) == 1
