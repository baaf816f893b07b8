"""dbshell: psql with the same verified TLS as the engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db.backends.postgresql.client import DatabaseClient as PostgresDatabaseClient
from django.db.utils import OperationalError

from azpg_backend import parameters as connecting
from azpg_backend.errors.redact import SECRET_KEYWORDS
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
        token goes into the environment.
        Raises ImproperlyConfigured if the settings are unsafe, and OperationalError if there is no token to be had.
        """
        plan = decision.decide("dbshell", settings_dict)
        secrets = connecting.secrets_of(plan, settings_dict)
        major = libpq.psql_version(cls.executable_name)
        params = {"dbname": "postgres"} if not settings_dict.get("NAME") and "service" not in plan.params else {}
        params |= {key: value for key, value in plan.params.items() if libpq.psql_knows(key, major)}
        params |= {key: value for key, value in secrets.items() if key not in SECRET_KEYWORDS}
        environment = connecting.variables({**plan.params, **secrets})
        return [cls.executable_name, "-d", libpq.conninfo(params), *parameters], environment

    def runshell(self, parameters: Iterable[str]) -> None:
        # Only here is the alias known, under which a mistake or a missing token is to be reported.
        plan = decision.decide(self.connection.alias, self.connection.settings_dict)
        try:
            plan.raise_errors()
            connecting.secrets_of(plan, self.connection.settings_dict)
        except (ImproperlyConfigured, OperationalError) as error:
            # Shown without a traceback.
            raise CommandError(str(error)) from None
        try:
            super().runshell(parameters)
        except (OSError, subprocess.SubprocessError) as error:
            # Without the frames below, in which the settings and psql's environment stand.
            raise error.with_traceback(None) from None


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
