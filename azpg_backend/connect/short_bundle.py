"""The shipped roots that servers use now, tried before all that are shipped.

libpq parses the whole of sslrootcert for every connection, and most roots in the package are there for the day on which
Azure changes to one of them. Where the few don't verify a server, all do, within the same attempt, and it is remembered
for the life of the process. Nothing is trusted that is not in the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from azpg_backend import trust
from azpg_backend.libpq import Server, server_of

T = TypeVar("T")

# Servers whose chain ended in another of the bundle's roots.
_others: set[Server] = set()


def connecting(connect: Callable[[Mapping[str, Any]], T], params: Mapping[str, Any], error_class: type[Exception]) -> T:
    """Return what connect(params) returns, with the roots in use in the place of the bundle where these suffice."""
    server = server_of(params)
    # Of several hosts, one that only the bundle verifies must not be passed over for the next.
    if params.get("sslrootcert") != trust.BUNDLE or server in _others or any("," in part for part in server):
        return connect(params)
    try:
        return connect({**params, "sslrootcert": trust.IN_USE})
    except error_class as error:
        if "certificate verify failed" not in str(error):
            raise
    connection = connect(params)
    _others.add(server)
    return connection


def forget() -> None:
    """Forget all servers, as in a new process."""
    _others.clear()
