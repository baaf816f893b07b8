"""Traps under ASGI and with a pool, and what the pool can't use."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from azpg_backend.plan import traps
from tests.support.plans import ids, only, planned

needs_a_pool = pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
CHECKED = {"CONN_HEALTH_CHECKS": True}


@pytest.mark.parametrize("age", [60, None, 2.5])
def test_asgi_and_conn_max_age(age: Any, settings_with: Any) -> None:
    assert "azpg.W019" not in ids(planned(CONN_MAX_AGE=age, **CHECKED))
    settings_with(ASGI_APPLICATION="site.asgi.application")
    plan = planned(CONN_MAX_AGE=age, **CHECKED)
    assert ids(plan) == ["azpg.W019"]
    assert "Set CONN_MAX_AGE to 0" in only(plan)
    assert planned(CONN_MAX_AGE=0).problems == ()
    assert ids(planned(CONN_MAX_AGE=age)) == ["azpg.W019"]


@pytest.fixture
def settings_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    from django.conf import settings

    def use(**changes: Any) -> None:
        for key, value in changes.items():
            monkeypatch.setattr(settings, key, value, raising=False)

    return use


@pytest.mark.skipif(is_psycopg3, reason="for psycopg2")
def test_a_pool_with_psycopg2() -> None:
    plan = planned({"pool": True}, **CHECKED)
    assert ids(plan) == ["azpg.E002"]
    assert "psycopg2" in only(plan)
    assert "django-azpg[psycopg]" in only(plan)


@needs_a_pool
@pytest.mark.parametrize("pool", [True, {"min_size": 1, "max_size": 4, "timeout": 2.5, "max_lifetime": 60}])
def test_a_good_pool(pool: Any) -> None:
    assert planned({"pool": pool}, **CHECKED).problems == ()
    assert planned({"pool": {"check": print}}).problems == ()


@pytest.mark.parametrize("pool", [False, None, {}, 0])
def test_no_pool(pool: Any) -> None:
    assert planned({"pool": pool}).problems == ()


@needs_a_pool
def test_a_pool_without_health_checks() -> None:
    plan = planned({"pool": True})
    assert ids(plan) == ["azpg.W020"]
    assert "'CONN_HEALTH_CHECKS': True" in only(plan)


@needs_a_pool
def test_a_pool_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traps, "_pool_parameters", frozenset)
    assert "psycopg_pool is not installed" in only(planned({"pool": True}, **CHECKED))


@needs_a_pool
def test_a_pool_beside_conn_max_age() -> None:
    plan = planned({"pool": True}, CONN_MAX_AGE=60, **CHECKED)
    assert ids(plan) == ["azpg.E002"]
    assert "['CONN_MAX_AGE'] is set beside OPTIONS['pool']" in only(plan)


@pytest.mark.parametrize("pool", ["True", 1, [1], 2.5, {1}])
def test_a_pool_of_another_type(pool: Any) -> None:
    plan = planned({"pool": pool}, **CHECKED)
    assert ids(plan) == ["azpg.E002"]
    assert "not True, False or a dict" in only(plan)


@needs_a_pool
@pytest.mark.parametrize(
    ("pool", "part"),
    [
        ({"size": 2}, "Valid keys: 'check'"),
        ({"MAX_CONNS": 2}, "Valid keys"),
        ({1: 2}, "Valid keys"),
        ({"kwargs": {"password": "x1y2"}}, "keys of OPTIONS"),
        ({"conninfo": "password=x1y2"}, "keys of OPTIONS"),
        ({"open": True}, "Remove it"),
        ({"configure": print}, "connection_created"),
        ({"min_size": "4"}, "not a whole number"),
        ({"min_size": True}, "not a whole number"),
        ({"min_size": -1}, "not a whole number"),
        ({"min_size": 5, "max_size": 2}, "less than min_size, which is 5"),
        ({"max_size": 2}, "which is 4, the default"),
        ({"max_size": 0}, "not a whole number"),
        ({"timeout": "5"}, "not a number of seconds"),
        ({"timeout": None}, "not a number of seconds"),
        ({"max_idle": float("nan")}, "not a number of seconds"),
        ({"timeout": float("inf")}, "not a number of seconds up to"),
        ({"timeout": 1e10}, "not a number of seconds up to"),
        ({"max_idle": 10**20}, "not a number of seconds up to"),
        ({"num_workers": 0}, "not a whole number from 1"),
        ({"name": 5}, "not text"),
        ({"name": "a\n"}, "a line break"),
        ({"reset": "x"}, "not a function"),
        ({"connection_class": "x"}, "not a class"),
    ],
)
def test_what_the_pool_can_not_use(pool: dict[Any, Any], part: str) -> None:
    plan = planned({"pool": pool}, **CHECKED)
    assert ids(plan) == ["azpg.E002"]
    assert part in only(plan)
    assert "x1y2" not in only(plan)
