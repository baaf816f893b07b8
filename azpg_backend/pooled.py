"""Connections that a psycopg pool opens in threads of its own: with a live token, and with an error that is not lost.

Django gives its pool the password once, and the pool tells of a failed login only in a log. Imported where there is a
pool, hence with psycopg 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azpg_backend import redact

Connect = Callable[..., Any]


def prepare(pool: Any, wrap: Callable[[Connect], Connect], secrets: list[str]) -> None:
    """Let a pool that is not open yet connect through wrap(connect), and keep the text of its last failure."""
    if not hasattr(pool.connection_class, "azpg_last_failure"):
        pool.connection_class = _connection_class(pool.connection_class, wrap, secrets)


def last_failure(pool: Any) -> str:
    """Return what the pool's last attempt to connect said, or "" where it succeeded."""
    text: str = getattr(pool.connection_class, "azpg_last_failure", "")
    return text


def _connection_class(base: Any, wrap: Callable[[Connect], Connect], secrets: list[str]) -> Any:
    class PoolConnection(base):  # type: ignore[misc]
        azpg_last_failure = ""

        @classmethod
        def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
            def plain(**changed: Any) -> Any:
                return super(PoolConnection, cls).connect(conninfo, **changed)

            try:
                connection = wrap(plain)(**kwargs)
            except Exception as error:
                PoolConnection.azpg_last_failure = redact.without(str(error), secrets)
                raise
            PoolConnection.azpg_last_failure = ""
            return connection

    return PoolConnection
