"""dbshell: psql with the same verified TLS as the engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.backends.postgresql.client import DatabaseClient as PostgresDatabaseClient

from azpg_backend import libpq, policy

_SHOWN_FIRST = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert")


class DatabaseClient(PostgresDatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: Mapping[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return psql's arguments and the environment to add.

        Django's own forwards six of OPTIONS and leaves the rest to psql's defaults. Here the whole plan goes into
        psql's conninfo argument, because a service file and a NAME that looks like a conninfo beat everything else.
        The same values are in the environment for ``\\connect`` and for programs started from psql.
        """
        plan = policy.decide("dbshell", settings_dict, environ=os.environ)
        plan.raise_errors()
        major = libpq.psql_version(cls.executable_name)
        params = {"dbname": "postgres"} if not settings_dict.get("NAME") and "service" not in plan.params else {}
        params |= {key: value for key, value in plan.params.items() if libpq.psql_knows(key, major)}
        env = {libpq.ENVIRONMENT[key]: str(value) for key, value in plan.params.items() if key in libpq.ENVIRONMENT}
        password = settings_dict.get("PASSWORD") or settings_dict["OPTIONS"].get("password")
        if plan.options.auth == "entra":
            from django.core.management.base import CommandError

            from azpg_backend import entra

            try:
                token = entra.provider_for(plan.options, plan.endpoints).get()
            except entra.TokenError as error:
                raise CommandError(f"no Microsoft Entra token: {error}") from None
            password = token.value
            if "user" not in params:
                params["user"] = entra.user_of(token, plan.alias)
        if password:
            env["PGPASSWORD"] = str(password)
        return [cls.executable_name, "-d", libpq.conninfo(params), *parameters], env

    def runshell(self, parameters: Iterable[str]) -> None:
        # Here the alias is known, so that a mistake in the settings is reported under its own name.
        policy.decide(self.connection.alias, self.connection.settings_dict).raise_errors()
        super().runshell(parameters)


def shown_command(plan: policy.Plan) -> str:
    """Return the psql command that connects as the plan does, to be read and copied; it holds no secret."""
    first = {key: plan.params[key] for key in _SHOWN_FIRST if key in plan.params}
    params = {key: value for key, value in {**first, **plan.params}.items() if value != ""}
    # What only spares a fault, a round trip or a wait is left out: an older psql may not know it.
    for keyword in ("sslcertmode", "sslnegotiation", *policy.TIMEOUTS):
        params.pop(keyword, None)
    text = libpq.conninfo(params)
    for character in '"' if os.name == "nt" else '\\"$`':
        text = text.replace(character, "\\" + character)
    return f'psql "{text}"'
