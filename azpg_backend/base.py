"""The engine: Django's PostgreSQL backend, with the plan deciding what libpq is told."""

from __future__ import annotations

import functools
import time
from os import getpid
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql.base import DatabaseWrapper as PostgresDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property

from azpg_backend import parameters
from azpg_backend.client import DatabaseClient
from azpg_backend.connect import health, inherited, kept, roles, servers
from azpg_backend.connect.failure import Failure
from azpg_backend.connect.opening import Door
from azpg_backend.errors import explain
from azpg_backend.errors.redact import SECRET_KEYWORDS, Secret
from azpg_backend.plan.decision import Plan
from azpg_backend.process import memory

# SQLSTATE insufficient_privilege; feature_not_supported, which Azure gives to an extension that is not on its list; and
# protocol_violation, which PgBouncer gives to all that it says itself.
_EXPLAINED = frozenset({"42501", "0A000", "08P01"})


class _ErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of the driver's exceptions, which also notices that a server does not take writes."""

    wrapper: Any

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            return
        _notice_death(self.wrapper)
        sqlstate = roles.sqlstate_of(error)
        if sqlstate == roles.READ_ONLY:
            self.wrapper.leave_after_use = self.wrapper.plan().writes
        elif self._may_be_explained(error, sqlstate) and (explanation := explain.of_statement(error)):
            explain.attach(error, explanation, self.wrapper.alias)
        super().__exit__(kind, error, traceback)

    def _may_be_explained(self, error: Any, sqlstate: str) -> bool:
        # An older psycopg 3 (3.2.1) hands on PgBouncer's last words without their SQLSTATE.
        return sqlstate in _EXPLAINED or (not sqlstate and isinstance(error, self.wrapper.Database.OperationalError))


def _notice_death(wrapper: DatabaseWrapper) -> None:
    """If its connection has ended, let the next connect of this process ask for more than a login."""
    if wrapper.connection is not None and wrapper.connection.closed:
        servers.outage_of(wrapper.plan()).doubted = True


def _configure(kind: type[DatabaseWrapper], settings_dict: dict[str, Any], alias: str, connection: Any) -> None:
    """Prepare a pool's new connection as Django does.

    Django composes SET ROLE with a cursor of the wrapper, which would ask the same pool for a connection and wait for
    ever; so this wrapper has the new connection already.
    """
    wrapper = kind(settings_dict, alias)
    wrapper.connection = connection
    try:
        wrapper._configure_connection(connection)
    finally:
        wrapper.connection = None


def _make_pool(wrapper: DatabaseWrapper) -> Any:
    # The settings are no local variable, which error pages and reporters show.
    if wrapper.settings_dict.get("CONN_MAX_AGE", 0) != 0:
        raise ImproperlyConfigured("Pooling doesn't support persistent connections.")
    params = wrapper._params_of(wrapper.plan())
    try:
        from azpg_backend.connect import pool
    except ImportError as error:
        message = 'OPTIONS["pool"] needs psycopg_pool: pip install "django-azpg[psycopg]"'
        raise ImproperlyConfigured(message) from error
    checked = bool(wrapper.settings_dict["CONN_HEALTH_CHECKS"])
    # Not the wrapper's own methods: a pool outlives the thread that first asked for it.
    configure = functools.partial(_configure, type(wrapper), wrapper.settings_dict, wrapper.alias)
    options = wrapper.settings_dict["OPTIONS"]["pool"]
    return pool.make(wrapper._door(wrapper.Database.connect), params, configure, options, checked=checked)


class DatabaseWrapper(PostgresDatabaseWrapper):
    """Django's PostgreSQL wrapper with verified TLS on every connection.

    Only connecting, the health check and the shell client differ; operations, introspection and schema are Django's
    own. ``azpg_backend.postgis`` relies on that.
    """

    client_class = DatabaseClient
    # Django's own; django-stubs doesn't know them.
    _connection_pools: dict[str, Any]
    _configure_connection: Any
    # The plan of the connect that is under way.
    _connecting_by: Plan | None = None
    # When the connection was last used, on the monotonic clock.
    _used_at = 0.0
    # Where a fork would look for this wrapper.
    known_to: inherited.Users | None = None
    # Whether the connection must not outlive the request: its server did not take a write.
    leave_after_use = False

    @property
    def connection(self) -> Any:
        """The driver's connection, if it belongs to this process."""
        # Asked several times for each query, so the call is spared.
        if memory.owner != getpid():
            memory.leave_parent()
        return self._connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._connection = connection

    @cached_property
    def wrap_database_errors(self) -> _ErrorWrapper:
        return _ErrorWrapper(self)

    def plan(self) -> Plan:
        """Return what this alias asks of libpq, with settings and environment as they are now."""
        return self._connecting_by or kept.plan_of(self.alias, self.settings_dict)

    def connect(self) -> None:
        """Connect, with one plan from beginning to end. Raises ImproperlyConfigured if the settings are unsafe."""
        self._connecting_by = self.plan()
        try:
            self._connecting_by.raise_errors()
            super().connect()
        finally:
            self._connecting_by = None

    def get_connection_params(self) -> dict[str, Any]:
        """Return the arguments of the driver's connect().

        Packages that connect by themselves ask too, and get a live token if the alias logs in with one; the engine adds
        its own last, under the deadline of the connect.
        Raises ImproperlyConfigured if the settings are unsafe, and OperationalError if there is no token to be had.
        """
        plan = self.plan()
        params = self._params_of(plan)
        return params if self._connecting_by or plan.options.auth != "entra" else {**params, **parameters.login(plan)}

    def _params_of(self, plan: Plan) -> dict[str, Any]:
        plan.raise_errors()
        params = {**parameters.name_for(plan), **super().get_connection_params(), **plan.params}
        for key in plan.withheld:
            params.pop(key, None)
        for key in SECRET_KEYWORDS:
            if params.get(key) is not None:
                # Nothing that shows local variables shows these.
                params[key] = Secret(params[key])
        return params

    @property
    def pool(self) -> Any:
        if self.alias == NO_DB_ALIAS or not self.settings_dict["OPTIONS"].get("pool"):
            return None
        if self.alias not in self._connection_pools:
            self._connection_pools.setdefault(self.alias, _make_pool(self))
        return self._connection_pools[self.alias]

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, going on for a while if the server is only restarting.

        A failure keeps the driver's type and text, and gains what it means and what to do.
        """
        inherited.watch(self, pooled=bool(self.pool))
        if self.pool:
            # The pool's workers connect through a door, and the pool explains what they met.
            found = super().get_new_connection(conn_params)
        else:
            found = self._door(self._connect_once).open(conn_params)
            if isinstance(found, Failure):
                raise found.explained(self.alias)
        self.leave_after_use = self._leads_to_a_standby(found)
        self._used_at = time.monotonic()
        return found

    def _connect_once(self, **params: Any) -> Any:
        return super().get_new_connection(params)

    def _door(self, call: Any) -> Door:
        return Door(self.plan(), call, self.Database, functools.partial(explain.secrets_of, self.settings_dict))

    def _leads_to_a_standby(self, connection: Any) -> bool:
        return roles.claims_recovery(connection) and roles.in_recovery(self.plan(), connection)

    def create_cursor(self, name: str | None = None) -> Any:
        self._used_at = time.monotonic()
        return super().create_cursor(name)

    def close_if_health_check_failed(self) -> None:
        """Before each cursor and transaction: replace a connection that is known to have ended.

        Whoever used it last was told with an error, and a transaction that ended with it is not continued.
        """
        if self.autocommit and not self.in_atomic_block and self.connection is not None and self.connection.closed:
            self.close()
        super().close_if_health_check_failed()

    def close_if_unusable_or_obsolete(self) -> None:
        """At the start and the end of a request: do not keep a connection to a server that takes no writes."""
        free = self.connection is not None and not self.in_atomic_block
        if free and (self.leave_after_use or self._leads_to_a_standby(self.connection)):
            self.leave_after_use = True
            self.close()
            return
        super().close_if_unusable_or_obsolete()

    def _close(self) -> None:
        if self.leave_after_use and self.connection is not None and self.pool:
            # Broken for the pool, which then makes another, whoever closes it: a request, or a task by itself.
            self.connection.close()
        self.leave_after_use = False
        super()._close()  # type: ignore[misc]  # Django's own; django-stubs has no such method.

    def is_usable(self) -> bool:
        """Whether the connection works, without a round trip if the socket can tell.

        After an error the server is asked, as Django does, with SELECT 1.
        """
        if self.connection is None or self.connection.closed:
            return False
        if not self.errors_occurred and health.is_quiet(self.connection, time.monotonic() - self._used_at):
            return True
        usable: bool = super().is_usable()
        _notice_death(self)
        return usable
