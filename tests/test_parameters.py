"""For others that connect by themselves: arguments, a connection string, an environment, and azpg_run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from azpg_backend import parameters
from demo_project.localpg import LocalPostgres
from demo_project.localpg.binaries import find_binaries, program
from tests.support.settings import PASSWORD, Settings, SettingsFor

Databases = Callable[..., None]
ROOT = Path(__file__).parents[1]


def driver() -> Any:
    return import_module("psycopg" if is_psycopg3 else "psycopg2")


def is_encrypted(connection: Any) -> bool:
    cursor = connection.cursor()
    cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    found = cursor.fetchone() == (True,)
    connection.close()
    return found


def test_a_driver_s_own_connect(server: LocalPostgres, settings_for: SettingsFor, databases: Databases) -> None:
    databases(default=settings_for(server))
    arguments = parameters.arguments()
    assert arguments["sslmode"] == "verify-full"
    assert PASSWORD not in repr(arguments)
    assert is_encrypted(driver().connect(**arguments))


def test_a_connection_string_and_its_environment(
    server: LocalPostgres, settings_for: SettingsFor, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases(default=settings_for(server))
    monkeypatch.setenv("PGPASSWORD", parameters.environment()["PGPASSWORD"])
    assert "correct horse" not in parameters.conninfo()
    assert is_encrypted(driver().connect(parameters.conninfo()))


def test_unsafe_settings_are_handed_to_nobody(
    server: LocalPostgres, settings_for: SettingsFor, databases: Databases
) -> None:
    from django.core.exceptions import ImproperlyConfigured

    databases(default=settings_for(server, {"sslmode": "disable"}))
    for give in (parameters.arguments, parameters.conninfo, parameters.environment):
        with pytest.raises(ImproperlyConfigured, match="sslmode"):
            give()


def test_nothing_of_libpq_s_is_inherited(
    server: LocalPostgres, settings_for: SettingsFor, databases: Databases
) -> None:
    databases(default=settings_for(server))
    inherited = {"PGSSLMODE": "disable", "PGSERVICE": "evil", "PGHOSTADDR": "192.0.2.1", "PATH": "/bin"}
    found = parameters.environment("default", inherited)
    assert found["PGSSLMODE"] == "verify-full"
    assert found["PGHOSTADDR"] == "127.0.0.1"
    assert found["PATH"] == "/bin"
    assert "PGSERVICE" not in found


# azpg_run

SITE = """
import json, sys
from django.conf import settings
settings.configure(
    DATABASES={"default": json.loads(sys.argv.pop(1))}, INSTALLED_APPS=["azpg_backend"], USE_TZ=True
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


def command(settings: Settings, *words: str) -> list[str]:
    return [sys.executable, "-c", SITE, json.dumps(settings), "azpg_run", "default", "--", *words]


def run(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command(settings, *words), capture_output=True, text=True, timeout=60, env=env)


def test_pg_dump(server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path) -> None:
    pg_dump = program(find_binaries(), "pg_dump")
    if not pg_dump.exists():
        pytest.skip("no pg_dump")
    file = tmp_path / "app.dump"
    done = run(settings_for(server), str(pg_dump), "-Fc", "-f", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert file.read_bytes().startswith(b"PGDMP")


def test_what_the_program_sees(server: LocalPostgres, settings_for: SettingsFor) -> None:
    look = "import os, sys; print(sys.argv[1:], os.environ['PGSSLMODE'], os.environ['PGPASSWORD']); sys.exit(7)"
    done = run(settings_for(server), sys.executable, "-c", look, "--a", "-b c")
    assert done.stdout == f"['--a', '-b c'] verify-full {PASSWORD}\n"
    assert done.returncode == 7
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("changes", "words", "status", "said"),
    [
        ({}, ["no-such-program"], 127, "There is no program 'no-such-program' on PATH."),
        ({"OPTIONS": {"sslmode": "disable"}}, ["true"], 1, "sslmode"),
    ],
)
def test_what_can_not_be_run(
    server: LocalPostgres, settings_for: SettingsFor, changes: Settings, words: list[str], status: int, said: str
) -> None:
    done = run(settings_for(server, **changes), *words)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_signal_reaches_the_program(server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    wait = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: sys.exit(5)); "
    wait += f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    words = command(settings_for(server), sys.executable, "-c", wait)
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        end = time.monotonic() + 60
        while not ready.exists() and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 5


# Names


@pytest.mark.parametrize("engine", ["azpg_backend", "azpg_backend.postgresql"])
def test_the_modules_that_packages_look_for_beside_an_engine(engine: str) -> None:
    stock = "django.db.backends.postgresql"
    for module, name in {
        "introspection": "DatabaseIntrospection",
        "features": "DatabaseFeatures",
        "operations": "DatabaseOperations",
        "creation": "DatabaseCreation",
        "schema": "DatabaseSchemaEditor",
    }.items():
        found = getattr(import_module(f"{engine}.{module}"), name)
        assert found is getattr(import_module(f"{stock}.{module}"), name)
    assert import_module(f"{engine}.client").DatabaseClient.__module__ == "azpg_backend.client"


def test_an_engine_with_postgresql_in_its_name(
    server: LocalPostgres, settings_for: SettingsFor, databases: Databases
) -> None:
    databases(default=settings_for(server, ENGINE="azpg_backend.postgresql"))
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)
    from django.core.checks import run_checks

    assert [each.id for each in run_checks(databases=["default"]) if each.id.startswith("azpg.E")] == []


def test_no_token_is_an_operational_error(databases: Databases, root_file: str) -> None:
    from tests.support.settings import entra_settings_at

    class Refusing:
        def get_token(self, *scopes: str, **kwargs: Any) -> Any:
            raise RuntimeError("no identity here")

    databases(default=entra_settings_at(1, root_file, {"auth": "entra", "credential": Refusing()}))
    for give in (parameters.arguments, connections["default"].get_connection_params):
        with pytest.raises(OperationalError, match="no identity here"):
            give()
