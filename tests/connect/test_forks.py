"""Forks inside a tenant, beside a package that resets its state in close(), and by multiprocessing."""

from __future__ import annotations

import ctypes
import functools
import json
import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from azpg_backend import base
from demo_project.localpg import LocalPostgres
from tests.support.children import ended, forked
from tests.support.settings import Settings, SettingsFor

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")

POOLS = [{}, pytest.param({"pool": True}, marks=pytest.mark.skipif(not is_psycopg3, reason="needs psycopg 3"))]


def schema(wrapper: Any) -> str:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


class Setting(base.DatabaseWrapper):
    """Remembers what it has told the session, as django-tenants and its relatives do."""

    told = False

    def close(self) -> None:
        self.told = False
        super().close()

    def _cursor(self, name: str | None = None) -> Any:
        cursor = super()._cursor(name)
        if not self.told:
            self.told = True
            cursor.execute("SET search_path = tenant_a")
        return cursor


@pytest.mark.parametrize("hooks", [True, False])
@pytest.mark.parametrize("options", POOLS)
def test_a_child_is_in_its_parent_s_schema(
    own_server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: Settings,
    hooks: bool,
) -> None:
    """Also if the fork came without Python's hooks."""
    if options and not hooks:
        pytest.skip("a pool has threads, beside which Python does not bear such a fork; real uWSGI is tested elsewhere")
    own_server.sql("CREATE SCHEMA tenant_a AUTHORIZATION app", "app")
    # With every key that Django gives it; closed at the end, and its pool.
    wrapper = Setting(connect(settings_for(own_server, options)).settings_dict, "default")
    assert schema(wrapper) == "tenant_a"
    if not hooks:
        # The C library's own, with the interpreter's lock held. Python does not learn of it.
        monkeypatch.setattr(os, "fork", ctypes.PyDLL(None).fork)

    def be_child() -> None:
        (tmp_path / "schema").write_text(schema(wrapper))

    child = forked(be_child)
    assert ended(child, time.monotonic() + 60)
    assert (tmp_path / "schema").read_text() == "tenant_a"
    assert schema(wrapper) == "tenant_a"
    wrapper.close()


# The site of the real django-tenants, in a process that forks inside a tenant.
TENANTS = """
import ctypes, json, os, sys
from django.conf import settings
settings.configure(
    DATABASES={"default": json.loads(sys.argv[1])},
    INSTALLED_APPS=["django_tenants", "django.contrib.contenttypes"],
    SHARED_APPS=["django_tenants", "django.contrib.contenttypes"],
    TENANT_APPS=["django.contrib.contenttypes"],
    TENANT_MODEL="contenttypes.ContentType",
    TENANT_DOMAIN_MODEL="contenttypes.ContentType",
    DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
    ORIGINAL_BACKEND="azpg_backend",
    TENANT_LIMIT_SET_CALLS=True,
    USE_TZ=True,
)
import django; django.setup()
from django.db import connection
def schema():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return cursor.fetchone()[0]
connection.set_schema("tenant_a")
print(schema(), flush=True)
fork = ctypes.PyDLL(None).fork if sys.argv[2] == "silent" else os.fork
child = fork()
if child == 0:
    print(schema(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(schema())
"""


@pytest.mark.parametrize("how", ["hooks", "silent"])
def test_a_child_of_django_tenants_is_in_its_tenant(
    own_server: LocalPostgres, settings_for: SettingsFor, how: str
) -> None:
    pytest.importorskip("django_tenants")
    own_server.sql("CREATE SCHEMA tenant_a AUTHORIZATION app", "app")
    settings = {**settings_for(own_server), "ENGINE": "django_tenants.postgresql_backend"}
    done = subprocess.run(
        [sys.executable, "-c", TENANTS, json.dumps(settings), how],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == ["tenant_a"] * 3, done.stdout + done.stderr


def answer(number: int) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s, pg_backend_pid()", [number])
        first, backend = cursor.fetchone()
        return int(first), int(backend)


def configured(settings: Settings) -> None:
    """Be a Django process with these settings, in a child that begins with nothing."""
    import django
    from django.conf import settings as site
    from django.db import connections

    if not site.configured:
        site.configure(DATABASES={"default": settings}, USE_TZ=True)
        django.setup()
    else:
        connections.__dict__["settings"] = connections.configure_settings({"default": settings})


def asked(number: int, settings: Settings, kind: str) -> tuple[int, int]:
    if kind != "fork":
        configured(settings)
    return answer(number)


@pytest.mark.parametrize("kind", ["fork", "forkserver", "spawn"])
def test_multiprocessing(
    server: LocalPostgres, settings_for: SettingsFor, databases: Callable[..., None], kind: str
) -> None:
    settings = settings_for(server)
    databases(default=settings)
    _, own = answer(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context(kind).Pool(2) as pool:
            work = functools.partial(asked, settings=settings, kind=kind)
            answers = pool.map(work, range(1, 9), chunksize=1)
    assert [number for number, _ in answers] == list(range(1, 9))
    assert own not in {backend for _, backend in answers}
    assert answer(9) == (9, own)
