"""Starting with TLS at once (sslnegotiation=direct), where a server has shown that it can.

It saves the round trip of PostgreSQL's TLS request (libpq 17, "sslnegotiation"). A server that can't ends such a
connection, so it is only tried after an ordinary connection has shown PostgreSQL 17 or newer, and where a pooler or
proxy in between refuses it all the same, that is remembered for the life of the process.
"""

from __future__ import annotations

import re
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

Server = tuple[str, str, str]

_can: dict[Server, bool] = {}


def server_of(params: Mapping[str, Any]) -> Server:
    return (str(params.get("host", "")), str(params.get("hostaddr", "")), str(params.get("port", "")))


def direct(params: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the parameters for a direct attempt, or None where it is not known to work or the user chose."""
    chosen = (
        "sslnegotiation" in params or "PGSSLNEGOTIATION" in environ or "service" in params or "PGSERVICE" in environ
    )
    if chosen or not _can.get(server_of(params)):
        return None
    patience = min(int(params.get("connect_timeout") or _PATIENCE), _PATIENCE)
    return {**params, "sslnegotiation": "direct", "connect_timeout": patience}


def learn(params: Mapping[str, Any], server_version: int) -> None:
    """Note after an ordinary connection over TLS whether the next one may start directly."""
    new_enough = server_version >= _FIRST_RELEASE and libpq.version() >= _FIRST_RELEASE
    _can.setdefault(server_of(params), new_enough)


def refused(params: Mapping[str, Any], error: Exception) -> bool:
    """Whether a direct attempt failed because it was direct; if so, it is not made again."""
    if not _REFUSAL.search(str(error)):
        return False
    _can[server_of(params)] = False
    return True


def forget() -> None:
    """Forget all servers, as in a new process."""
    _can.clear()
