"""Connections that a psycopg pool opens in threads of its own: with a live token, and with an error that is not lost.

Django gives its pool the parameters of one moment, and psycopg_pool tells a waiting request nothing but that there was
no connection. Both are put right where every worker passes, in the class of the connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from azpg_backend.errors import explain

Connect = Callable[[Mapping[str, Any]], Any]


def prepare(pool: Any, wrap: Callable[[Connect], Connect]) -> None:
    """Let a pool connect through wrap(connect), and keep the text of its last failure. Twice does no harm."""
    if not hasattr(pool.connection_class, "azpg_last_failure"):
        pool.connection_class = _connection_class(pool.connection_class, wrap)


def last_failure(pool: Any) -> str:
    """Return what the pool's last attempt to connect met, without secrets, or "" where it succeeded."""
    text: str = getattr(pool.connection_class, "azpg_last_failure", "")
    return text


def _connection_class(base: Any, wrap: Callable[[Connect], Connect]) -> Any:
    class PoolConnection(base):  # type: ignore[misc]
        azpg_last_failure = ""

        @classmethod
        def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
            def plain(params: Mapping[str, Any]) -> Any:
                return super(PoolConnection, cls).connect(conninfo, **params)

            try:
                connection = wrap(plain)(kwargs)
            except Exception as error:
                PoolConnection.azpg_last_failure = explain.driver_text(error)
                raise
            PoolConnection.azpg_last_failure = ""
            return connection

    return PoolConnection
