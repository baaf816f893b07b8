"""A live token for libraries that connect by themselves."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from django.db import connections
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from azpg_backend import parameters
from tests.support.gateway import Gateway
from tests.support.settings import EntraSettings


def test_a_live_token_is_handed_out(
    azure: Gateway, entra_settings: EntraSettings, databases: Callable[..., None]
) -> None:
    databases(default=entra_settings(azure.port))
    driver = import_module("psycopg" if is_psycopg3 else "psycopg2")
    wrapper = connections["default"]
    for give in (parameters.arguments, wrapper.get_connection_params):
        given = give()
        (token,) = azure.issuer.issued
        assert given["password"] == token
        assert token not in repr(given)
        driver.connect(**given).close()
    assert parameters.environment()["PGPASSWORD"] == token
    assert token not in parameters.conninfo()
    # The engine's own connects go on with the same one.
    wrapper.ensure_connection()
    assert len(azure.issuer.requests) == 1
