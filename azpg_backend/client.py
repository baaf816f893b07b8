"""dbshell: psql with the same verified TLS as the engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db.backends.postgresql.client import DatabaseClient as PostgresDatabaseClient

from azpg_backend.errors import explain
from azpg_backend.plan import decision, defaults, libpq

_SHOWN_FIRST = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert")


class DatabaseClient(PostgresDatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: Mapping[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return psql's arguments and the environment to add.

        Django's own forwards six of OPTIONS and leaves the rest to psql's defaults. Here the whole plan goes into
        psql's conninfo argument, because a service file and a NAME that looks like a conninfo beat everything else.
        The same values are in the environment for ``\\connect`` and for programs started from psql. A password or a
        token goes into the environment. Raises TokenError if there is no token to be had.
        """
        plan = decision.decide("dbshell", settings_dict, environ=os.environ)
        plan.raise_errors()
        major = libpq.psql_version(cls.executable_name)
        params = {"dbname": "postgres"} if not settings_dict.get("NAME") and "service" not in plan.params else {}
        params |= {key: value for key, value in plan.params.items() if libpq.psql_knows(key, major)}
        env = {libpq.ENVIRONMENT[key]: str(value) for key, value in plan.params.items() if key in libpq.ENVIRONMENT}
        if plan.options.auth == "entra":
            from azpg_backend.entra import login

            params["user"], token = login.login_for(plan)
            password: Any = token.text
        else:
            password = settings_dict.get("PASSWORD") or (settings_dict.get("OPTIONS") or {}).get("password")
        if password:
            env["PGPASSWORD"] = str(password)
        return [cls.executable_name, "-d", libpq.conninfo(params), *parameters], env

    def runshell(self, parameters: Iterable[str]) -> None:
        # Only here is the alias known, under which a mistake in the settings is to be reported.
        plan = decision.decide(self.connection.alias, self.connection.settings_dict)
        plan.raise_errors()
        if plan.options.auth == "entra":
            _fetch_token(plan)
        super().runshell(parameters)


def _fetch_token(plan: decision.Plan) -> None:
    """Have the token at hand before psql is started. Raises CommandError, which is shown without a traceback."""
    from azpg_backend.entra import login
    from azpg_backend.entra.tokens import TokenError

    try:
        login.login_for(plan)
    except TokenError as error:
        problem = explain.of_token(str(error)).text(plan.alias)
    except ImproperlyConfigured as error:
        problem = str(error)
    else:
        return
    raise CommandError(problem)


def shown_command(plan: decision.Plan) -> str:
    """Return the psql command that connects as the plan does, to be read and copied; it holds no secret."""
    first = {key: plan.params[key] for key in _SHOWN_FIRST if key in plan.params}
    params = {key: value for key, value in {**first, **plan.params}.items() if value != ""}
    # What only spares a fault, a round trip or a wait is left out: an older psql may not know it.
    for keyword in ("sslcertmode", "sslnegotiation", *defaults.TIMEOUTS):
        params.pop(keyword, None)
    return f'psql "{_pasted(params)}"'


def _pasted(params: Mapping[str, Any]) -> str:
    """Return parameters for a shell's double quotes, always on one line.

    A character that an interactive shell would expand whatever stands before it, or that nobody sees, is written as a
    URI writes it: "!" in bash, any of them in PowerShell and cmd, which have no escape in common.
    """
    text = libpq.conninfo(params)
    if not text.isprintable() or any(character in text for character in ('"$`%!' if os.name == "nt" else "!")):
        return "postgresql:///?" + "&".join(f"{key}={quote(str(value), safe='')}" for key, value in params.items())
    for character in "" if os.name == "nt" else '\\"$`':
        text = text.replace(character, "\\" + character)
    return text
