"""What the server calls this process: told by itself, unless the user says otherwise."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from azpg_backend import parameters
from azpg_backend.process import memory
from azpg_backend.process.name import application_name
from demo_project.localpg import LocalPostgres
from tests.support.children import ended, forked
from tests.support.settings import SettingsFor
from tests.support.waiting import LIMIT

Connect = Callable[..., Any]


def shown(wrapper: Any) -> str:
    with wrapper.cursor() as cursor:
        cursor.execute("SHOW application_name")
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["manage.py", "migrate", "--plan"], "migrate"),
        (["/srv/site/manage.py", "-v", "azpg_check"], "azpg_check"),
        (["manage.py"], "manage.py"),
        (["/usr/bin/django-admin", "dbshell"], "dbshell"),
        (["/lib/django/__main__.py", "runserver"], "runserver"),
        (["manage.py", "eyJhbGciOiJSUzI1NiJ9.s3cret"], "manage.py"),
        (["/venv/bin/gunicorn", "mysite.wsgi"], "gunicorn"),
        (["/lib/gunicorn/__main__.py"], "gunicorn"),
        (["C:/venv/Scripts/celery.exe"], "celery"),
        (["job.py"], "job"),
        (["-c"], "python"),
        (["-m"], "python"),
        ([""], "python"),
        ([], "python"),
        (["/bin/Bücher 'x'; --"], "Bcherx--"),
        (["x" * 100], "x" * 26),
    ],
)
def test_the_program(monkeypatch: pytest.MonkeyPatch, argv: list[str], program: str) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    with override_settings(SETTINGS_MODULE="mysite.settings"):
        memory.forget()
        assert application_name() == f"mysite {program} {os.getpid()}"
        assert application_name(pooled=True) == f"mysite {program}"
    memory.forget()


@pytest.mark.parametrize("module", [None, "", "\u2603.settings", "x" * 200])
def test_the_project(monkeypatch: pytest.MonkeyPatch, module: str | None) -> None:
    monkeypatch.setattr(sys, "argv", ["y" * 200])
    with override_settings(SETTINGS_MODULE=module):
        memory.forget()
        assert re.fullmatch(rf"(x{{26}} )?y{{26}} {os.getpid()}", application_name())
        assert len(application_name()) < 63
    memory.forget()


def test_the_server_shows_it(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    assert shown(connect(settings_for(server))) == application_name()
    assert str(os.getpid()) in application_name()


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({"application_name": "mine"}, {}, "mine"),
        ({}, {"PGAPPNAME": "theirs"}, "theirs"),
        ({"fallback_application_name": "last"}, {}, "last"),
        ({"application_name": "mine", "fallback_application_name": "last"}, {"PGAPPNAME": "theirs"}, "mine"),
        ({"application_name": ""}, {}, ""),
    ],
)
def test_the_user_comes_first(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    environment: dict[str, str],
    expected: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert shown(connect(settings_for(server, options))) == expected


@pytest.mark.parametrize("keyword", ["application_name", "fallback_application_name"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_service_comes_first(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    keyword: str,
    by_variable: bool,
) -> None:
    file = tmp_path / "services"
    file.write_text(f"[shop]\n{keyword}=from the service\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    if by_variable:
        monkeypatch.setenv("PGSERVICE", "shop")
    options = {} if by_variable else {"service": "shop"}
    assert shown(connect(settings_for(server, options))) == "from the service"


def test_a_service_without_a_name_leaves_the_process_its_own(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "services"
    file.write_text("[shop]\nconnect_timeout=9\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert shown(connect(settings_for(server, {"service": "shop"}))) == application_name()


def test_a_forked_child_has_its_own(server: LocalPostgres, settings_for: SettingsFor, connect: Connect) -> None:
    wrapper = connect(settings_for(server))
    ours = shown(wrapper)
    read, written = os.pipe()
    child = forked(lambda: os.write(written, shown(wrapper).encode()))  # type: ignore[arg-type, return-value]
    assert ended(child, time.monotonic() + LIMIT)
    theirs = os.read(read, 100).decode()
    assert theirs == ours.replace(str(os.getpid()), str(child))


def test_others_that_connect_get_it_too(
    server: LocalPostgres, settings_for: SettingsFor, databases: Callable[..., None]
) -> None:
    databases(default=settings_for(server))
    assert parameters.arguments()["fallback_application_name"] == application_name()
    # A program has a name of its own.
    assert "application_name" not in parameters.conninfo()
    assert "PGAPPNAME" not in parameters.environment()
