"""Django's psycopg 3 pool: what its workers open later has a live token, and what they meet is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError

from tests.support.gateway import INVALID, Gateway
from tests.support.outputs import outputs
from tests.support.settings import EntraSettings, SettingsFor
from tests.support.sql import user_of
from tests.support.standins import Issuer

pytestmark = pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")

Connect = Callable[..., Any]


@pytest.mark.slow
def test_what_the_pool_opens_after_the_first_tokens_end_has_a_live_one(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    issuer.life = 5
    settings = entra_settings(azure.port, pool={"min_size": 1, "max_size": 4, "timeout": 60})
    wrapper = connect(settings)
    assert user_of(wrapper) == "app"
    pool = wrapper.pool
    time.sleep(5.5)
    # More than the pool has: its workers open the others, now that the first token has ended.
    connections = [pool.getconn() for _ in range(3)]
    for each in connections:
        pool.putconn(each)
    assert azure.accepted >= 4
    assert azure.refused == []
    assert len(issuer.requests) <= 12


def test_the_pool_replaces_a_refused_token(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    wrapper = connect(entra_settings(azure.port, pool={"min_size": 1, "max_size": 4, "timeout": 60}))
    assert user_of(wrapper) == "app"
    azure.revoked = set(issuer.issued)
    connections = [wrapper.pool.getconn() for _ in range(3)]
    for each in connections:
        wrapper.pool.putconn(each)
    assert set(azure.refused) == {INVALID}
    assert len(issuer.requests) == 2


@pytest.mark.slow
def test_the_login_error_of_the_workers_is_raised_at_once(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    azure.judge = lambda token: f"Azure AD access token not valid for role app {token}"  # type: ignore[method-assign]
    wrapper = connect(entra_settings(azure.port, pool={"timeout": 600}))
    with pytest.raises(OperationalError) as raised:
        user_of(wrapper)
    text = str(raised.value)
    assert "not valid for role app" in text
    assert "USER must be the exact name" in text


@pytest.mark.slow
def test_the_pools_own_log_holds_no_token(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    azure.judge = lambda token: f"Azure AD access token not valid for role app {token}"  # type: ignore[method-assign]
    wrapper = connect(entra_settings(azure.port, pool={"timeout": 60}))

    def ask() -> None:
        try:
            user_of(wrapper)
        finally:
            # Each worker has had its say.
            wrapper.pool.close()

    text = outputs(ask)
    assert "error connecting in" in text
    assert issuer.issued
    assert not any(token[:60] in text for token in issuer.issued)
    assert not any(token[:60] in repr(vars(wrapper.pool)) for token in issuer.issued)


@pytest.mark.slow
def test_a_token_that_can_not_be_had_later_is_told_too(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    issuer.life = 5
    issuer.before = lambda number: (
        (400, '{"statusCode": 400, "message": "identity removed"}', {}) if number > 1 else None
    )
    settings = entra_settings(
        azure.port, {"credential_kwargs": {"retry_total": 0}}, pool={"min_size": 0, "timeout": 6, "max_size": 2}
    )
    first = connect(settings)
    assert user_of(first) == "app"
    time.sleep(5.1)
    with pytest.raises(OperationalError, match="identity removed"):
        user_of(connect(settings))


def test_the_error_of_a_password_pool_is_told(server: Any, settings_for: SettingsFor, connect: Connect) -> None:
    settings = settings_for(server, {"pool": {"timeout": 600}}, PASSWORD="wrong")
    with pytest.raises(OperationalError, match="(?s)password authentication failed.*Check USER"):
        user_of(connect(settings))


@pytest.mark.slow
def test_threads_and_pool_through_many_lifetimes(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    issuer.life = 4
    pool = {"min_size": 0, "max_size": 4, "timeout": 60, "max_lifetime": 0.7, "max_idle": 0.5}
    settings = entra_settings(azure.port, pool=pool)
    first = connect(settings)

    def hammer(_: int) -> None:
        wrapper = type(first)(first.settings_dict, "default")
        end = time.monotonic() + 9
        while time.monotonic() < end:
            assert user_of(wrapper) == "app"
            wrapper.close()
            time.sleep(0.05)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hammer, range(4)))
    assert azure.refused == []
    assert azure.accepted > 6
