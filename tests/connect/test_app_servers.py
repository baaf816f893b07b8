"""Real application servers and Celery: what forks after the site has used the database, and what runs it in threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo_project.localpg import LocalPostgres
from tests.support import servers
from tests.support.appservers import serving
from tests.support.load import kept
from tests.support.pool import needs_pool
from tests.support.settings import Settings, SettingsFor
from tests.support.sql import sessions_of
from tests.support.tasks import PROCESSES, create_table, owners, rows, worker
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="application servers of Unix"),
]

POOL = {"pool": {"min_size": 1, "max_size": 4}}


@pytest.mark.parametrize("name", ["uwsgi", "uwsgi, lazily", "uwsgi, with hooks", "gunicorn", "gunicorn, threads"])
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


@pytest.mark.parametrize("name", ["uvicorn", "daphne", "hypercorn"])
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
@pytest.mark.parametrize("name", ["uvicorn", "daphne", "hypercorn"])
def test_a_thousand_requests_under_asgi_need_no_more_connections_than_the_pool_has(
    server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path, name: str
) -> None:
    with serving(name, {"default": settings_for(server, POOL, CONN_HEALTH_CHECKS=True)}, tmp_path) as site:
        answers, errors = site.many(1000, threads=8)
        assert (len(answers), errors) == (1000, []), site.log[-3000:]
        assert len({each["backend"] for each in answers}) <= 4


@pytest.fixture(params=["psycopg2", "psycopg", "psycopg with a pool"])
def green(request: pytest.FixtureRequest, settings_for: SettingsFor) -> tuple[Callable[..., Settings], dict[str, str]]:
    """Settings for greenlets, by server and options, and the site's environment. psycopg2 waits by psycogreen."""
    pytest.importorskip("gevent")
    driver, _, pool = request.param.partition(" ")
    pytest.importorskip("psycogreen" if driver == "psycopg2" else "psycopg_pool")

    def made(server: LocalPostgres, options: Settings | None = None, **changes: Any) -> Settings:
        pooled: Settings = {**POOL, "azpg": {}} if pool else {"azpg": {}}
        # A kept connection would belong to one greenlet, and so to one request.
        return settings_for(server, {**pooled, **(options or {})}, CONN_HEALTH_CHECKS=True, CONN_MAX_AGE=0, **changes)

    return made, {"SITE_DRIVER": driver, "SITE_GREEN": "1"}


def test_a_greenlet_that_waits_for_a_silent_server_keeps_no_other_from_its_own(
    own_server: LocalPostgres, green: tuple[Callable[..., Settings], dict[str, str]], tmp_path: Path
) -> None:
    """One process of gunicorn with gevent. Its server restarts too, and nobody notices."""
    settings, environ = green
    with servers.listening(servers.silent) as silent:
        databases = {
            "default": settings(own_server),
            "silent": settings(own_server, {"connect_timeout": 60}, PORT=silent),
        }
        with serving("gevent", databases, tmp_path, **environ) as site:
            hanging = threading.Thread(target=site.many, args=[3, 3, "of/silent"])
            hanging.start()
            for _ in range(2):
                answers, errors = site.many(24, threads=6)
                assert (len(answers), errors) == (24, []), site.log[-3000:]
                own_server.restart()
            assert hanging.is_alive()
        hanging.join()


def test_greenlets_after_a_fork(
    server: LocalPostgres, green: tuple[Callable[..., Settings], dict[str, str]], tmp_path: Path
) -> None:
    """A child leaves its parent's connections, pools and locks alone, also where threads are greenlets."""
    settings, environ = green
    with serving(
        "gevent, preloaded", {"default": settings(server)}, tmp_path, SITE_AT_IMPORT="query in a thread", **environ
    ) as site:
        answers, errors = site.many(48, threads=6)
        assert (len(answers), errors) == (48, []), site.log[-3000:]


def test_a_greenlet_s_connect_has_the_same_deadline(
    server: LocalPostgres, green: tuple[Callable[..., Settings], dict[str, str]], tmp_path: Path
) -> None:
    """psycogreen alone would wait for ever, whatever connect_timeout says."""
    settings, environ = green
    options = {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 1}}
    with servers.listening(servers.silent) as silent:
        databases = {"default": settings(server), "silent": settings(server, options, PORT=silent)}
        with serving("gevent", databases, tmp_path, **environ) as site:
            answers, errors = site.many(1, threads=1, path="of/silent")
            assert (answers, len(errors)) == ([], 1)
            assert "timeout expired" in site.log


def test_a_greenlet_reaches_the_second_server_if_the_first_is_silent(
    server: LocalPostgres, green: tuple[Callable[..., Settings], dict[str, str]], tmp_path: Path
) -> None:
    """As libpq does elsewhere, within connect_timeout for each; the alias's deadline is 5 s."""
    settings, environ = green
    options = {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 1}, "hostaddr": "127.0.0.1,127.0.0.1"}
    with servers.listening(servers.silent) as silent:
        both = settings(server, options, PORT=f"{silent},{server.port}")
        both["HOST"] = ",".join([both["HOST"]] * 2)
        with serving("gevent", {"default": settings(server), "both": both}, tmp_path, **environ) as site:
            answers, errors = site.many(1, threads=1, path="of/both")
            assert (len(answers), errors) == (1, []), site.log[-3000:]


@pytest.mark.parametrize(("pooled", "seconds"), [(False, 1.0), pytest.param(True, 0.2, marks=needs_pool)])
def test_celery_s_workers_survive_a_restart(
    own_server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path, pooled: bool, seconds: float
) -> None:
    """At most the task that was under way in each process fails, and none is lost or done twice."""
    pytest.importorskip("celery")
    settings = settings_for(own_server, {"azpg": {"connect_retry_seconds": 30}, **(POOL if pooled else {})})
    settings = {**settings, "CONN_HEALTH_CHECKS": True} if pooled else kept(settings)
    create_table(own_server)
    number = 60
    with worker({"default": settings}, tmp_path, SITE_AT_IMPORT="query") as tasks:
        tasks.send(range(number))
        tasks.wait(10)
        own_server.stop()
        time.sleep(seconds)
        own_server.start()
        tasks.wait(number)
        until(lambda: tasks.failed().keys() | {each["number"] for each in rows(own_server)} == set(range(number)))
    done, failed = rows(own_server), tasks.failed()
    assert len({each["number"] for each in done}) == len(done)
    assert owners(done) == PROCESSES
    # One of each process.
    by_process = [text.partition(":")[0] for text in failed.values()]
    assert len(set(by_process)) == len(by_process), failed
