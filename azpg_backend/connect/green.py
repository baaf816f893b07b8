"""psycopg2 among gevent's greenlets: with a wait callback, such as psycogreen's, libpq does not keep connect_timeout.

psycopg2 then connects step by step (PQconnectPoll) and leaves the time to the callback, which waits for ever.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from azpg_backend.connect import deadline


def bounded(driver: Any, params: Mapping[str, Any], hosts: int) -> contextlib.AbstractContextManager[object]:
    """Return a context that ends a connect of one greenlet as libpq would; for everybody else it does nothing.

    driver: the driver's module.
    params: libpq keywords, with connect_timeout in seconds for each host.
    Raises the driver's OperationalError within the context.
    """
    gevent = sys.modules.get("gevent")
    seconds = deadline.seconds_of(params) * max(1, hosts)
    if gevent is None or not seconds or not _waits_by_callback(driver):
        return contextlib.nullcontext()
    found: contextlib.AbstractContextManager[object] = gevent.Timeout(
        seconds, driver.OperationalError("timeout expired")
    )
    return found


def _waits_by_callback(driver: Any) -> bool:
    extensions = getattr(driver, "extensions", None)
    return extensions is not None and extensions.get_wait_callback() is not None
