"""A refused login as error pages and reporters show it: the right reason, the driver's words, and no secret."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from azpg_backend.client import DatabaseClient
from azpg_backend.errors import redact
from demo_project.localpg import LocalPostgres
from demo_project.localpg.server import find_binaries
from tests.support import servers
from tests.support.plans import planned_settings
from tests.support.settings import Settings, SettingsFor, entra_settings_at, settings_at

Connect = Callable[..., Any]
# For Django's page.
urlpatterns: list[Any] = []
TRIED_AGAIN = {"azpg": {"connect_retry_seconds": 60}}
POOLED = pytest.param({"pool": True}, marks=pytest.mark.skipif(not is_psycopg3, reason="needs psycopg 3"))


def refused(wrapper: Any) -> OperationalError:
    with pytest.raises(OperationalError) as caught:
        wrapper.ensure_connection()
    return caught.value


def frames(error: BaseException | None) -> list[TracebackType]:
    found: list[TracebackType] = []
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            found.append(trace)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    return found


def shown(error: Exception) -> str:
    """Return what people and services see of an error: variables, Django's pages, and what sentry-sdk sends."""
    seen = [each.tb_frame for each in frames(error)]
    # Not those of these tests, which know what they look for.
    parts = [repr(each.f_locals) for each in seen if "/tests/" not in each.f_code.co_filename]
    with override_settings(DEBUG=True, ROOT_URLCONF=__name__):
        reporter = ExceptionReporter(RequestFactory().get("/"), type(error), error, error.__traceback__)
        reporter.get_traceback_html()
        parts.append(reporter.get_traceback_text())
        page = [each for each in reporter.get_traceback_frames() if "/tests/" not in each["filename"]]
        parts.append(repr([each["vars"] for each in page]))
    try:
        from sentry_sdk.utils import event_from_exception
    except ImportError:
        return "\n".join(parts)
    event, _ = event_from_exception((type(error), error, error.__traceback__))
    for value in event["exception"]["values"]:
        for frame in (value.get("stacktrace") or {}).get("frames", []):
            if "/tests/" not in frame["abs_path"]:
                parts.append(repr(frame.get("vars")))
    return "\n".join(parts)


@pytest.mark.parametrize("options", [{}, POOLED])
@pytest.mark.parametrize("password", ["gfa7Kq!z", 48151623])
def test_no_frame_and_no_page_has_the_password(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, options: Settings, password: Any
) -> None:
    settings = settings_for(server, {**TRIED_AGAIN, **options}, PASSWORD=password)
    started = time.monotonic()
    error = refused(connect(settings, "refused"))
    assert time.monotonic() - started < 30
    assert "password authentication failed for user" in str(error)
    assert "the password is wrong" in str(error)
    assert len(frames(error)) > 4
    assert str(password) not in shown(error)
    assert str(password) not in repr(vars(error.__cause__))


@pytest.mark.parametrize("psql", ["psql", "no-such-psql"])
def test_no_frame_has_the_password_if_psql_fails(
    connect: Connect, root_file: str, monkeypatch: pytest.MonkeyPatch, psql: str
) -> None:
    """Reporters look at commands as well."""
    monkeypatch.setenv("PATH", f"{find_binaries()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(DatabaseClient, "executable_name", psql)
    # One whose repr() is no other.
    settings = {**settings_at(servers.closed_port(), root_file), "PASSWORD": "gfa7Kq!z"}
    with pytest.raises((OSError, subprocess.SubprocessError)) as caught:
        connect(settings).client.runshell(["-c", "SELECT 1"])
    assert "gfa7Kq!z" not in shown(caught.value)
    assert [each for each in frames(caught.value) if each.tb_frame.f_code.co_name == "runshell"]


@pytest.mark.parametrize("password", ["password", "failed", "x", "connection", "authentication failed"])
def test_a_password_that_is_a_word_of_the_message(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, password: str
) -> None:
    """A mask would tell which word it is."""
    error = refused(connect(settings_for(server, TRIED_AGAIN, PASSWORD=password)))
    assert 'password authentication failed for user "app"' in str(error)
    assert redact.MASK not in str(error)
    assert "the password is wrong" in str(error)


@pytest.mark.parametrize("password", ["refused", "connection", "server"])
def test_such_a_word_does_not_end_the_retries(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, password: str
) -> None:
    own_server.sql(f"ALTER ROLE app PASSWORD '{password}'")
    own_server.stop()
    starting = threading.Timer(0.5, own_server.start)
    starting.start()
    wrapper = connect(settings_for(own_server, {"azpg": {"connect_retry_seconds": 30}}, PASSWORD=password))
    wrapper.ensure_connection()
    starting.join()


class Hanging:
    def get_token(self, *scopes: str, **options: Any) -> Any:
        time.sleep(30)


def test_a_credential_that_hangs_is_bounded_by_the_deadline(connect: Connect, root_file: str) -> None:
    azpg = {"auth": "entra", "credential": Hanging(), "connect_retry_seconds": 1}
    settings = entra_settings_at(1, root_file, azpg, connect_timeout=3)
    started = time.monotonic()
    error = refused(connect(settings))
    assert time.monotonic() - started <= 3 + 1 + 10
    assert "no Microsoft Entra token" in str(error)


def test_nothing_listens_and_nothing_is_shown(connect: Connect) -> None:
    settings = {**planned_settings(), "PASSWORD": "gfa7Kq!z", "PORT": 1}
    settings["OPTIONS"] = {"hostaddr": "127.0.0.1", "azpg": {"connect_retry_seconds": 0.3}}
    error = refused(connect(settings))
    assert "refused" in str(error).lower() or sys.platform == "win32"
    assert "gfa7Kq!z" not in shown(error)
