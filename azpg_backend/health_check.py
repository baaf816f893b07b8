"""A check for django-health-check, 4.0 or newer, that names why the database can't be used."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections
from django.utils.connection import ConnectionDoesNotExist
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from azpg_backend.connect import roles
from azpg_backend.diagnosis import application
from azpg_backend.diagnosis.bounded import Late, Task
from azpg_backend.errors import explain
from azpg_backend.errors.codes import STEP_CODES

# Seconds. Short enough for one attempt, or for none while the server is known to be down and no look at it is due.
_ONE_LOOK = 0.001


@dataclasses.dataclass
class Database(HealthCheck):  # type: ignore[misc]
    """Whether the application would get a connection, and if not, the code of azpg_check for the reason.

    It logs in anew, beside the application's connections and its pool, and does not try again: a server that is down
    is told at once. What it says holds no host, user or database name, so it may be public.

    alias: of DATABASES.
    seconds: after which a silent server, name server or source of tokens is told, however many hosts there are.
    """

    alias: str = "default"
    seconds: float = dataclasses.field(default=3.0, repr=False)

    def run(self) -> None:
        """Raise ServiceUnavailable with the reason if the database can't be used."""
        try:
            wrapper: Any = connections[self.alias]
        except ConnectionDoesNotExist as error:
            raise ServiceUnavailable("DATABASES has no such alias") from error
        code = self._met(wrapper)
        if code is not None:
            raise ServiceUnavailable(f"{STEP_CODES[code]} ({code})")

    def _met(self, wrapper: Any) -> str | None:
        """Return the code of what keeps the application from using the database."""
        try:
            plan = wrapper.plan()
            plan.raise_errors()
            own = application.copy_of(wrapper, plan, self.seconds, pooled=False, retry_seconds=_ONE_LOOK)
            try:
                found: str | None = Task(lambda: _tried(own), "azpg-health-check").result(self.seconds)
            except Late:
                return "login.timeout" if own.connection is None else "session.timeout"
            full = application.exhausted(wrapper)
            return full.code if full and not found else found
        except ImproperlyConfigured:
            return "settings.invalid"
        except Error as error:
            problem = explain.of_driver(error, explain.secrets_of(wrapper.settings_dict)).problem
            return problem.code if problem else "session.failed"


def _tried(own: Any) -> str | None:
    """Ask the server once, over a connection that nobody else uses; it is closed even if nobody waits any more."""
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
        return "session.read_only" if roles.in_recovery(own.plan(), own.connection) else None
    finally:
        own.close()
