"""Starting with TLS at once (sslnegotiation=direct), where a server has shown that it can.

It saves the round trip of PostgreSQL's TLS request (libpq 17, "sslnegotiation"). A server that can't ends such a
connection, so it is only tried after an ordinary connection has shown PostgreSQL 17 or newer, and where a pooler or
proxy in between refuses it all the same, that is remembered for the life of the process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from azpg_backend.plan import libpq
from azpg_backend.plan.libpq import Server, server_of

T = TypeVar("T")

# PostgreSQL 17, of server and libpq, as both write it.
FIRST_RELEASE = 170000
# What libpq 17 and 18 say when the other end does not know direct TLS, or never answers it.
_REFUSAL = re.compile(
    r"EOF detected|unexpected eof|closed the connection unexpectedly|reset by peer|wrong version number"
    r"|without ALPN|timeout expired"
)
# Seconds. An end that takes a TLS hello for the start of a long message would otherwise cost the whole connect_timeout.
_PATIENCE = 3

# Seconds in which no other thread makes a first attempt while one is under way: they would all wait for a silent end.
_FIRST_ATTEMPT = 2.0 * _PATIENCE

_PROVEN, _NEVER = float("-inf"), float("inf")

# When the next direct attempt may be made, on the monotonic clock in seconds.
_from: dict[Server, float] = {}


def connecting(connect: Callable[[Mapping[str, Any]], T], params: Mapping[str, Any], error_class: type[Exception]) -> T:
    """Return the connection that connect(params) makes, directly where that is known to work."""
    direct = _direct(params)
    if direct is not None:
        try:
            connection = connect(direct)
        except error_class as error:
            # A server that goes down fails alike, and then the ordinary attempt fails too.
            if not _REFUSAL.search(str(error)):
                raise
        else:
            _from[server_of(params)] = _PROVEN
            return connection
    connection = connect(params)
    if direct is not None:
        _from[server_of(params)] = _NEVER
    else:
        _learn(params, connection)
    return connection


def _direct(params: Mapping[str, Any]) -> dict[str, Any] | None:
    server = server_of(params)
    since = _from.get(server, _NEVER)
    if since is not _PROVEN:
        now = time.monotonic()
        if now < since:
            return None
        _from[server] = now + _FIRST_ATTEMPT
    patience = min(int(params.get("connect_timeout") or _PATIENCE), _PATIENCE)
    return {**params, "sslnegotiation": "direct", "connect_timeout": patience}


def _learn(params: Mapping[str, Any], connection: Any) -> None:
    """Note whether the next connection may start directly."""
    new_enough = connection.info.server_version >= FIRST_RELEASE and libpq.version() >= FIRST_RELEASE
    _from.setdefault(server_of(params), 0.0 if new_enough else _NEVER)


def forget() -> None:
    """Forget all servers, as in a new process."""
    _from.clear()
