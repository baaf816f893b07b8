"""Starting with TLS at once (sslnegotiation=direct), where a server has shown that it can.

It saves the round trip of PostgreSQL's TLS request (libpq 17, "sslnegotiation"). A server that can't ends such a
connection, so it is only tried after an ordinary connection has shown PostgreSQL 17 or newer, and where a pooler or
proxy in between refuses it all the same, that is remembered for the life of the process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from azpg_backend import libpq

_FIRST_RELEASE = 170000
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

Server = tuple[str, str, str]

# When the next direct attempt may be made, on the monotonic clock in seconds.
_from: dict[Server, float] = {}


def server_of(params: Mapping[str, Any]) -> Server:
    return (str(params.get("host", "")), str(params.get("hostaddr", "")), str(params.get("port", "")))


def direct(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters for a direct attempt, or None where it is not known to work."""
    server = server_of(params)
    since = _from.get(server, _NEVER)
    if since is not _PROVEN:
        now = time.monotonic()
        if now < since:
            return None
        _from[server] = now + _FIRST_ATTEMPT
    patience = min(int(params.get("connect_timeout") or _PATIENCE), _PATIENCE)
    return {**params, "sslnegotiation": "direct", "connect_timeout": patience}


def is_refusal(error: Exception) -> bool:
    """Whether a direct attempt may have failed because it was direct. A server that goes down fails alike."""
    return _REFUSAL.search(str(error)) is not None


def worked(params: Mapping[str, Any]) -> None:
    """Note that a direct attempt succeeded."""
    _from[server_of(params)] = _PROVEN


def learn(params: Mapping[str, Any], server_version: int, *, refused: bool) -> None:
    """Note what an ordinary connection over TLS tells: whether the next one may start directly.

    refused: a direct attempt has just failed where this one worked.
    """
    if refused:
        _from[server_of(params)] = _NEVER
    else:
        new_enough = server_version >= _FIRST_RELEASE and libpq.version() >= _FIRST_RELEASE
        _from.setdefault(server_of(params), 0.0 if new_enough else _NEVER)


def forget() -> None:
    """Forget all servers, as in a new process."""
    _from.clear()
