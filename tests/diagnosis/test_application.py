"""What is tested is what the application uses: its settings, its session, its pool. "Passes" means "it connects"."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import OperationalError

from azpg_backend.diagnosis import application
from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.report import DatabaseReport, Status
from azpg_backend.diagnosis.runner import diagnose
from demo_project.localpg import LocalPostgres
from tests.support.diagnosis import Check, codes
from tests.support.pool import needs_pool
from tests.support.settings import SettingsFor


def diagnosed(wrapper: Any, timeout: float = 30) -> DatabaseReport:
    roots = Roots(offline=True, timeout=timeout, update=False, export=None)
    (report,) = diagnose([wrapper], roots, timeout, lambda alias, step: None)
    return report


def with_options(settings: dict[str, Any], **options: Any) -> dict[str, Any]:
    # A pool without health checks is warned of.
    return {**settings, "CONN_HEALTH_CHECKS": True, "OPTIONS": {**settings["OPTIONS"], **options}}


def test_text_in_conn_max_age_fails_as_in_the_application(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, connect: Any
) -> None:
    settings = settings_for(server, CONN_HEALTH_CHECKS=True)
    assert codes(check({**settings, "CONN_MAX_AGE": 600})) == []
    with pytest.raises(ImproperlyConfigured, match="CONN_MAX_AGE"):
        connect({**settings, "CONN_MAX_AGE": "600"}).ensure_connection()
    steps = check({**settings, "CONN_MAX_AGE": "600"})
    assert Status.FAIL in {step.status for step in steps.values()}
    (step,) = (step for step in steps.values() if step.status is Status.FAIL)
    assert step.code in {"settings.invalid", "login.failed"}
    assert "CONN_MAX_AGE" in f"{step.message} {step.hint}"
    assert "report it" not in (step.hint or "")


@pytest.mark.parametrize(
    "change", [{"AUTOCOMMIT": False}, {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}, {"TIME_ZONE": "Asia/Tokyo"}]
)
def test_the_session_s_settings_are_the_application_s(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, change: dict[str, Any]
) -> None:
    assert codes(check(settings_for(server, **change))) == []


@pytest.mark.parametrize(
    "options", [{"assume_role": "nobody_there"}, {"options": "-c search_path=nowhere -c nonsense.x=1 -c bad=1"}]
)
def test_a_session_that_the_server_refuses(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, options: dict[str, Any]
) -> None:
    found = codes(check(with_options(settings_for(server), **options)))
    assert found in (["session.failed"], ["login.failed"])


def test_it_is_not_more_patient_than_the_application(
    server: LocalPostgres, settings_for: SettingsFor, connect: Any
) -> None:
    wrapper = connect(settings_for(server))
    for timeout, seconds in ((30.0, 10), (10.0, 10), (3.0, 3), (0.5, 2)):
        copy = application.copy_of(wrapper, wrapper.plan(), timeout)
        assert copy.settings_dict["OPTIONS"]["connect_timeout"] == seconds


@needs_pool
def test_a_pool_that_works(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    steps = check(with_options(settings_for(server), pool={"min_size": 4, "max_size": 9}))
    assert codes(steps) == []
    assert steps["session"].status is Status.PASS


@needs_pool
@pytest.mark.parametrize(
    "pool",
    [{"min_size": 5, "max_size": 2}, {"maxsize": 4}, "yes", {"timeout": "3"}, {"min_size": "1"}],
    ids=["more than most", "unknown", "text", "time as text", "size as text"],
)
def test_a_pool_that_can_not_work(server: LocalPostgres, settings_for: SettingsFor, check: Check, pool: Any) -> None:
    steps = check(with_options(settings_for(server), pool=pool), timeout=5)
    (step,) = (step for step in steps.values() if step.status is Status.FAIL)
    assert step.code in {"settings.invalid", "login.failed"}
    assert "report it" not in (step.hint or "")


@needs_pool
@pytest.mark.parametrize("seconds", [0, 0.0001])
def test_a_pool_with_less_patience_than_a_login_takes(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, connect: Any, seconds: float
) -> None:
    settings = with_options(settings_for(server), pool={"timeout": seconds})
    with pytest.raises(OperationalError, match="couldn't get a connection"):
        connect(settings).ensure_connection()
    step = check(settings, timeout=10)["login"]
    assert (step.status, step.code) == (Status.FAIL, "login.failed")
    assert f"OPTIONS['pool']['timeout'] is {seconds:g} s" in step.message


@needs_pool
def test_a_pool_beside_persistent_connections(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    settings = {**with_options(settings_for(server), pool=True), "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    assert Status.FAIL in {step.status for step in check(settings).values()}


@needs_pool
def test_a_pool_whose_sessions_fail_says_why(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    steps = check(with_options(settings_for(server), pool=True, assume_role="nobody_there"), timeout=6)
    assert codes(steps) == ["session.failed"]
    assert "nobody_there" in steps["session"].message


@needs_pool
def test_all_connections_of_the_pool_are_in_use(
    server: LocalPostgres, settings_for: SettingsFor, connect: Callable[..., Any]
) -> None:
    wrapper = connect(with_options(settings_for(server), pool={"min_size": 1, "max_size": 2, "timeout": 1}))
    pool = wrapper.pool
    pool.open()
    pool.wait(10)
    assert codes({step.step: step for step in diagnosed(wrapper).steps}) == []
    held = [pool.getconn() for _ in range(2)]
    waiting = threading.Thread(target=lambda: pool.putconn(pool.getconn(30)), daemon=True)
    waiting.start()
    while not pool.get_stats().get("requests_waiting"):
        threading.Event().wait(0.01)
    steps = {step.step: step for step in diagnosed(wrapper).steps}
    assert codes(steps) == ["login.too_many_connections"]
    assert "all 2 connections" in steps["login"].message
    assert "1 requests wait" in steps["login"].message
    assert steps["session"].status is Status.PASS
    # Nothing was taken from the application.
    assert pool.get_stats()["pool_size"] == 2
    for each in held:
        pool.putconn(each)
    waiting.join(10)


@needs_pool
def test_a_pool_with_a_role(server: LocalPostgres, settings_for: SettingsFor, check: Check) -> None:
    """Django's own pool would ask itself for a connection to set the role on one, and wait for ever."""
    from azpg_backend.base import DatabaseWrapper

    steps = check(with_options(settings_for(server), pool=True, assume_role="app"))
    assert codes(steps) == []
    assert "app" in steps["session"].message
    assert DatabaseWrapper._connection_pools == {}
