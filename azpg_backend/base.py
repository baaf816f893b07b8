"""The engine: Django's PostgreSQL backend, told by the policy what to tell libpq."""

from __future__ import annotations

import os
import select
import time
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as PostgresDatabaseWrapper

from azpg_backend import explain, negotiation, policy, retry
from azpg_backend.client import DatabaseClient
from azpg_backend.options import Options

# Seconds without a query after which a health check asks the server instead of looking at the socket. Until then the
# keepalives have had no chance either to notice a server that vanished without a word.
ASK_AFTER_IDLE = 30.0


class DatabaseWrapper(PostgresDatabaseWrapper):
    """Django's PostgreSQL wrapper with verified TLS on every connection.

    Only connecting, the health check and the shell client differ; operations, introspection and schema are Django's
    own. ``azpg_backend.postgis`` relies on that.
    """

    client_class = DatabaseClient
    # Those of the last get_connection_params(), which Django calls before each get_new_connection().
    _options = Options()
    _plaintext = False
    _used_at = 0.0

    def plan(self) -> policy.Plan:
        """Decide afresh what this alias asks of libpq: settings and environment may have changed."""
        return policy.decide(self.alias, self.settings_dict, environ=os.environ)

    def get_connection_params(self) -> dict[str, Any]:
        """Return what the driver's connect() gets. Raises ImproperlyConfigured where the settings are unsafe."""
        plan = self.plan()
        plan.raise_errors()
        self._options = plan.options
        self._plaintext = plan.plaintext
        params: dict[str, Any] = super().get_connection_params()
        params.pop("azpg", None)
        params.update(plan.params)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, going on for a while where the server is only restarting.

        A failure keeps the driver's type, text and traceback, and gains what it means and what to do.
        """
        # A pool connects in threads of its own, with a patience of its own.
        seconds = 0.0 if self.pool else self._options.connect_retry_seconds
        connection = retry.connecting(
            lambda: self._connect(conn_params), self.Database.OperationalError, seconds, self.alias
        )
        self._used_at = time.monotonic()
        return connection

    def _connect(self, conn_params: dict[str, Any]) -> Any:
        direct = None if self.pool or self._plaintext else negotiation.direct(conn_params, os.environ)
        if direct is not None:
            try:
                return super().get_new_connection(direct)
            except self.Database.OperationalError as error:
                if not negotiation.refused(conn_params, error):
                    explain.add_reason(error, self.alias, self.settings_dict)
                    raise
        try:
            connection = super().get_new_connection(conn_params)
        except UnicodeDecodeError as error:
            # psycopg2 decodes the server's message as UTF-8 and Django wraps only the driver's own exceptions.
            raise self.Database.OperationalError(explain.unreadable(self.alias)) from error
        except self.Database.Error as error:
            explain.add_reason(error, self.alias, self.settings_dict)
            raise
        if not self._plaintext:
            negotiation.learn(conn_params, connection.info.server_version)
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        self._used_at = time.monotonic()
        return super().create_cursor(name)

    def is_usable(self) -> bool:
        """Whether the connection works, without a round trip where the socket can tell.

        The server is asked (as Django does, with SELECT 1) after an error, after 30 seconds without a query, and
        where something has arrived that nobody asked for: the end of the connection, or a last message before it.
        """
        if self.connection is None or self.connection.closed:
            return False
        idle = time.monotonic() - self._used_at
        if self.errors_occurred or idle > ASK_AFTER_IDLE or _has_arrived(self.connection.fileno()):
            usable: bool = super().is_usable()
            return usable
        return True


def _has_arrived(descriptor: int) -> bool:
    """Whether a socket has bytes to read, its end, or an error. Does not wait."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    # Windows, where select() takes any descriptor number.
    return any(select.select([descriptor], [], [descriptor], 0))
