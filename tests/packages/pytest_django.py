"""Tests with a database in two xdist processes: made anew, kept, and used again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packages import project

SETTINGS = """
import json, os
DATABASES = {"default": json.loads(os.environ["LAB_DATABASE"])}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
SECRET_KEY = "for tests"
USE_TZ = True
"""
TESTS = """
import pytest
from django.contrib.auth.models import Group
from django.db import connection

@pytest.mark.django_db
@pytest.mark.parametrize("number", range(20))
def test_written(number):
    Group.objects.create(name="same name")
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)

@pytest.mark.django_db(transaction=True)
def test_committed():
    Group.objects.create(name="same name")
"""


@pytest.mark.parametrize("options", [["--create-db"], ["--reuse-db"], ["--reuse-db", "--dist", "loadscope"]])
def test_two_processes(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "lab_settings.py").write_text(SETTINGS)
    (tmp_path / "test_lab.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = lab_settings\npythonpath = .\n")
    environment = {**os.environ, "LAB_DATABASE": json.dumps(project.database())}
    environment.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-q", *options],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "21 passed" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
