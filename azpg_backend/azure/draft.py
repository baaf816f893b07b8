"""What to write for a server: the entry of DATABASES, then the SQL that makes its role."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from azpg_backend.azure.facts import Server
from azpg_backend.settings import snippet
from azpg_backend.settings.entry import Login, Wishes
from azpg_backend.settings.sources import Source, Variable

# The variable that holds the password, as in the documentation.
PASSWORD = "DB_PASSWORD"  # noqa: S105 (a variable's name)


@dataclass(frozen=True)
class Wanted:
    """What the caller chose.

    database: its name.
    role: with which the application logs in.
    entra: whether by Microsoft Entra.
    pgbouncer: whether through the built-in PgBouncer.
    object_id: of the identity, if its name is not unique in the tenant; "" if it is.
    kind: of the identity: user, group or service.
    """

    engine: str
    database: str
    role: str
    entra: bool
    pgbouncer: bool = False
    object_id: str = ""
    kind: str = "service"


def settings(server: Server, wanted: Wanted) -> str:
    """Return the text for settings.py. It holds no secret."""
    own: dict[str, Any] = {"auth": "entra"} if wanted.entra else {}
    own["resource_id"] = str(server.id)
    entry: dict[str, Any] = {
        "ENGINE": wanted.engine,
        "NAME": wanted.database,
        "HOST": server.host,
        "PORT": "6432" if wanted.pgbouncer else "5432",
        "USER": wanted.role,
    }
    if not wanted.entra:
        entry["PASSWORD"] = Variable("", PASSWORD)
    if wanted.pgbouncer:
        entry["DISABLE_SERVER_SIDE_CURSORS"] = True
    entry["OPTIONS"] = {"azpg": own}
    text = snippet.of(_escaped(entry), Login(Source("azure"), {}), Wishes())
    return text if "os.environ" in text else text.removeprefix("import os\n\n")


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if type(value) is str:
        return value.replace("\\", "\\\\").replace('"', '\\"')
    return value


def sql(wanted: Wanted, administrators: tuple[str, ...] = ()) -> str:
    """Return the SQL that makes the role with the rights that migrate needs.

    administrators: who may make it; empty if that is not known.
    """
    role, database = identifier(wanted.role), identifier(wanted.database)
    if wanted.entra:
        who = ", ".join(administrators) or "a Microsoft Entra administrator of the server"
        make = f"SELECT * FROM {_principal(wanted)};"  # noqa: S608 (printed for a person to run, and quoted)
    else:
        who = "the server's administrator"
        make = f"CREATE ROLE {role} LOGIN;\n\\password {role}"
    return (
        f"-- In the database postgres, as {_comment(who)}:\n{make}\n"
        f"CREATE DATABASE {database};\n"
        f"GRANT CONNECT ON DATABASE {database} TO {role};\n"
        f"-- Then in the database {_comment(wanted.database)}:\n"
        f"GRANT USAGE, CREATE ON SCHEMA public TO {role};\n"
    )


def _principal(wanted: Wanted) -> str:
    if wanted.object_id:
        arguments = ", ".join(literal(each) for each in (wanted.role, wanted.object_id, wanted.kind))
        return f"pgaadauth_create_principal_with_oid({arguments}, false, false)"
    return f"pgaadauth_create_principal({literal(wanted.role)}, false, false)"


def identifier(name: str) -> str:
    """Return a name as SQL takes it, in quotes unless it needs none."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL takes it. A backslash means itself, as standard_conforming_strings is on."""
    return "'" + text.replace("'", "''") + "'"


def _comment(text: str) -> str:
    return " ".join(text.split())
