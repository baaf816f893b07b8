"""The engine: Django's PostgreSQL backend, told by the policy what to tell libpq."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as PostgresDatabaseWrapper

from azpg_backend.client import DatabaseClient
from azpg_backend.connect import direct, process, retry
from azpg_backend.errors import explain
from azpg_backend.plan import decision
from azpg_backend.plan.decision import Plan

# Seconds without a query after which a health check asks the server instead of looking at the socket. Until then the
# keepalives have had no chance either to notice a server that vanished without a word.
ASK_AFTER_IDLE = 30.0

# libpq's PQTRANS_IDLE, in both drivers.
_IDLE = 0

Connect = Callable[[Mapping[str, Any]], Any]


class DatabaseWrapper(PostgresDatabaseWrapper):
    """Django's PostgreSQL wrapper with verified TLS on every connection.

    Only connecting, the health check and the shell client differ; operations, introspection and schema are Django's
    own. ``azpg_backend.postgis`` relies on that.
    """

    client_class = DatabaseClient
    # That of the last get_connection_params(), which Django calls before each get_new_connection().
    _plan: Plan | None = None
    _used_at = 0.0

    def plan(self) -> Plan:
        """Return what this alias asks of libpq, with settings and environment as they are now."""
        return decision.decide(self.alias, self.settings_dict)

    def get_connection_params(self) -> dict[str, Any]:
        """Return what the driver's connect() gets, but for a token, which is added last.

        Raises ImproperlyConfigured where the settings are unsafe.
        """
        plan = self._plan = self.plan()
        plan.raise_errors()
        params: dict[str, Any] = super().get_connection_params()
        params.pop("azpg", None)
        params.update(plan.params)
        return params

    @property
    def pool(self) -> Any:
        pool = super().pool
        if pool is not None and self._plan is not None:
            from azpg_backend.connect.pool import prepare

            prepare(pool, lambda connect: self._authenticated(self._explained(self._shortened(connect))))
        return pool

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, going on for a while where the server is only restarting.

        A failure keeps the driver's type, text and traceback, and gains what it means and what to do.
        """
        plan = self._plan or self.plan()
        process.watch(self)
        if self.pool:
            # A pool connects in threads of its own, with a patience of its own.
            connection = self._from_pool(conn_params)
        else:
            connect = self._authenticated(self._explained(self._shortened(super().get_new_connection)))
            connection = retry.connecting(
                lambda: connect(conn_params),
                self.Database.OperationalError,
                plan.options.connect_retry_seconds,
                self.alias,
            )
        self._used_at = time.monotonic()
        return connection

    def _from_pool(self, conn_params: dict[str, Any]) -> Any:
        from azpg_backend.connect.pool import last_failure

        try:
            return super().get_new_connection(conn_params)
        except self.Database.Error as error:
            secrets = explain.secrets_of(self.settings_dict)
            explain.add_reason(error, self.alias, secrets, last_failure(self.pool))
            raise

    def _authenticated(self, connect: Connect) -> Connect:
        """Return connect, with a live Microsoft Entra token as its password where the settings ask for one."""
        plan = self._plan or self.plan()
        if plan.options.auth != "entra":
            return connect
        from azpg_backend.entra import login
        from azpg_backend.entra.tokens import TokenError

        def with_token(conn_params: Mapping[str, Any]) -> Any:
            def attempt(user: str, password: str) -> Any:
                return connect({**conn_params, "user": user, "password": password})

            try:
                return login.connecting(plan, attempt, self.Database.OperationalError)
            except TokenError as error:
                problem = explain.no_token(str(error), self.alias)
            raise self.Database.OperationalError(problem)

        return with_token

    def _shortened(self, connect: Connect) -> Connect:
        """Return connect, by the way that costs least of those that work. What is verified is the same on all."""
        plan = self._plan or self.plan()
        if plan.plaintext:
            return connect
        error_class = self.Database.OperationalError

        def negotiating(conn_params: Mapping[str, Any]) -> Any:
            if not plan.may_negotiate:
                return connect(conn_params)
            return direct.connecting(connect, conn_params, error_class)

        return negotiating

    def _explained(self, connect: Connect) -> Connect:
        """Return connect, with the reason and the way to a diagnosis added to its errors."""

        def explaining(conn_params: Mapping[str, Any]) -> Any:
            try:
                return connect(conn_params)
            except UnicodeDecodeError as error:
                # psycopg2 decodes the server's message as UTF-8 and Django wraps only the driver's own exceptions.
                raise self.Database.OperationalError(explain.unreadable(self.alias)) from error
            except self.Database.Error as error:
                secrets = [*explain.secrets_of(self.settings_dict), *filter(None, [conn_params.get("password")])]
                explain.add_reason(error, self.alias, secrets)
                raise

        return explaining

    def create_cursor(self, name: str | None = None) -> Any:
        self._used_at = time.monotonic()
        return super().create_cursor(name)

    def is_usable(self) -> bool:
        """Whether the connection works, without a round trip where the socket can tell.

        The server is asked (as Django does, with SELECT 1) after an error, within a transaction (which may have
        failed, and then nothing works in it), after 30 seconds without a query, and where something has arrived that
        nobody asked for: the end of the connection, or a last message before it.
        """
        if self.connection is None or self.connection.closed:
            return False
        idle = time.monotonic() - self._used_at
        quiet = idle <= ASK_AFTER_IDLE and self.connection.info.transaction_status == _IDLE
        if quiet and not self.errors_occurred and not _has_arrived(self.connection.fileno()):
            return True
        usable: bool = super().is_usable()
        return usable


def _has_arrived(descriptor: int) -> bool:
    """Whether a socket has bytes to read, its end, or an error. Does not wait."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    # Windows, where select() takes any descriptor number.
    return any(select.select([descriptor], [], [descriptor], 0))
