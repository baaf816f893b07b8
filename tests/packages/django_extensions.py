"""Sqldiff, sqldsn, sqlcreate and reset_db, by an engine with "postgresql" in its name; reset_db by azpg_run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from tests.support.packages import project

# reset_db hands on neither this nor any other part of OPTIONS.
os.environ["PGHOSTADDR"] = "127.0.0.1"
ENGINES = project.followed("django-extensions", "mysite_settings").DJANGO_EXTENSIONS_RESET_DB_POSTGRESQL_ENGINES
project.configure(
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_extensions",
    databases={
        "default": project.database(ENGINE=project.named_engine()),
        "other": project.database(ENGINE=project.named_engine(), NAME="other"),
    },
    DJANGO_EXTENSIONS_RESET_DB_POSTGRESQL_ENGINES=[*ENGINES, project.STOCK],
)


def said(*words: str) -> str:
    """Return what a command prints, be it through Django or not."""
    out, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        call_command(*words, stdout=out)
    return out.getvalue() + printed.getvalue()


@pytest.fixture(scope="module", autouse=True)
def tables() -> None:
    project.migrate()


def test_sqldiff_of_a_changed_column() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE auth_group ALTER COLUMN name TYPE varchar(40), ALTER COLUMN name DROP NOT NULL")
    found = said("sqldiff", "auth", "--no-color")
    assert 'ALTER "name" TYPE varchar(150)' in found
    assert "MODIFY" not in found
    assert "SET NOT NULL" in found


def test_sqldsn() -> None:
    assert 'host="suite.postgres.database.azure.com"' in said("sqldsn", "--quiet").replace("'", '"')


def test_sqlcreate() -> None:
    assert "CREATE DATABASE app WITH ENCODING 'UTF-8' OWNER app" in said("sqlcreate").replace('"', "")


def test_reset_db() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE other")
    assert project.asked("SELECT current_database()", "other") == "other"
    call_command("reset_db", "--database", "other", interactive=False, close_sessions=True, verbosity=0)
    assert project.asked("SELECT count(*) FROM pg_database WHERE datname = 'other'") == 1


SETTINGS = """
import json, os
DATABASES = json.loads(os.environ["LAB_DATABASES"])
DJANGO_EXTENSIONS_RESET_DB_POSTGRESQL_ENGINES = ["azpg_backend.postgresql"]
INSTALLED_APPS = ["azpg_backend", "django_extensions"]
SECRET_KEY = "for tests"
"""


def reset(folder: Path, alias: str) -> subprocess.CompletedProcess[str]:
    """Run reset_db by azpg_run, in a project of its own."""
    (folder / "lab_settings.py").write_text(SETTINGS)
    entry = project.database(ENGINE="azpg_backend.postgresql", NAME="kept")
    known = {"default": entry, "misnamed": {**entry, "HOST": "another.postgres.database.azure.com"}}
    given = {"LAB_DATABASES": json.dumps(known), "DJANGO_SETTINGS_MODULE": "lab_settings"}
    paths = os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
    manage = [sys.executable, "-m", "django"]
    run = [*manage, "azpg_run", alias, "--"]
    words = [*run, *manage, "reset_db", "--database", alias, "--noinput", "--close-sessions"]
    environment = {**os.environ, **given, "PYTHONPATH": paths}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.recipe
def test_reset_db_over_verified_tls(tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE kept")
    made = "SELECT oid FROM pg_database WHERE datname = 'kept'"
    first = project.asked(made)
    refused = reset(tmp_path, "misnamed")
    assert "does not match host name" in refused.stderr
    assert project.asked(made) == first
    done = reset(tmp_path, "default")
    assert (done.returncode, project.asked(made) != first) == (0, True), done.stderr
