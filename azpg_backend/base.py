"""The engine: Django's PostgreSQL backend, told by the policy what to tell libpq."""

from __future__ import annotations

import os
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as PostgresDatabaseWrapper

from azpg_backend import explain, policy
from azpg_backend.client import DatabaseClient


class DatabaseWrapper(PostgresDatabaseWrapper):
    """Django's PostgreSQL wrapper with verified TLS on every connection.

    Only connecting, the shell client and validation differ; operations, introspection and schema are Django's own.
    ``azpg_backend.postgis`` relies on that.
    """

    client_class = DatabaseClient

    def plan(self) -> policy.Plan:
        """Decide afresh what this alias asks of libpq: settings and environment may have changed."""
        return policy.decide(self.alias, self.settings_dict, environ=os.environ)

    def get_connection_params(self) -> dict[str, Any]:
        """Return what the driver's connect() gets. Raises ImproperlyConfigured where the settings are unsafe."""
        plan = self.plan()
        plan.raise_errors()
        params: dict[str, Any] = super().get_connection_params()
        params.pop("azpg", None)
        params.update(plan.params)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, and add to a failure what it means and what to do. Type, text and traceback stay the driver's."""
        try:
            return super().get_new_connection(conn_params)
        except UnicodeDecodeError as error:
            # psycopg2 decodes the server's message as UTF-8 and Django wraps only the driver's own exceptions.
            raise self.Database.OperationalError(explain.unreadable(self.alias)) from error
        except self.Database.Error as error:
            explain.add_reason(error, self.alias, self.settings_dict)
            raise
