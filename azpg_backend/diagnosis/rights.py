"""What ``migrate`` needs of the server, looked at before it fails half-way."""

from __future__ import annotations

import re
import threading
from typing import Any

from django.db import router

from azpg_backend.diagnosis.facts import Extensions, Facts
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan import hosts
from azpg_backend.plan.decision import Plan

# Django reloads the packages of migrations that it reads.
_reading = threading.Lock()


def of_schema(facts: Facts) -> Problem | None:
    """Return a problem if the role may not create tables where ``migrate`` would put them.

    On PostgreSQL 15 and newer the schema public belongs to the administrators, even in a database of the role's own.
    """
    role = _quoted(facts.user)
    if facts.schema is None:
        schema = _quoted(_first_of(facts.search_path, facts.user))
        message = f"search_path ({facts.search_path}) names no schema that {facts.user!r} may use: migrate will fail"
        first = f"CREATE SCHEMA IF NOT EXISTS {schema}; "
    elif not facts.may_create:
        schema = _quoted(facts.schema)
        message = f"{facts.user!r} may not create tables in schema {facts.schema!r}: migrate will fail"
        first = ""
    else:
        return None
    hint = (
        f"As an administrator, in database {facts.database!r}: {first}GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT "
        f"CREATE ON SCHEMA {schema} TO {role}; If another role migrates this database, add --ignore "
        "session.cannot_create."
    )
    return Problem("session.cannot_create", message, hint, Severity.WARNING)


def of_extensions(found: Extensions, wanted: dict[str, str], plan: Plan) -> Problem | None:
    """Return a problem if the server will refuse an extension that the project's migrations create.

    wanted: by name, the migration that creates it.
    """
    missing = sorted(set(wanted) - found.installed)
    absent = [name for name in missing if name not in found.offered]
    denied = [
        name
        for name in missing
        if name in found.offered and found.allowed is not None and name.lower() not in found.allowed
    ]
    if not absent and not denied:
        return None
    said = []
    if denied:
        said.append(f"Azure does not allow to create {_listed(denied, wanted)}: not in azure.extensions")
    if absent:
        said.append(f"the server does not offer {_listed(absent, wanted)}")
    hint = []
    host = next((each.host for each in plan.endpoints if hosts.cloud_of(each.host)), "")
    if host or found.allowed is not None:
        # The parameter is set as a whole.
        value = ",".join(sorted({*(found.allowed or ()), *denied, *absent} - {""}))
        hint.append(
            "Allow it: az postgres flexible-server parameter set --resource-group GROUP --server-name "
            f"{host.partition('.')[0] or 'SERVER'} --name azure.extensions --value {value}"
        )
    else:
        hint.append("Install the extension's package on the server")
    sql = " ".join(f"CREATE EXTENSION IF NOT EXISTS {_quoted(name)};" for name in (*denied, *absent))
    hint.append(f"Then migrate creates it, or an administrator does: {sql}")
    return Problem("session.cannot_create", "; ".join(said), ". ".join(hint), Severity.WARNING)


def extensions_of_migrations(wrapper: Any) -> dict[str, str]:
    """Return the extensions that the project's migrations create in this alias, each with its migration.

    The migrations are read from disk; no database is asked. Migrations that can't be read are ``migrate``'s to report.
    """
    from django.contrib.postgres.operations import CreateExtension
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.operations import SeparateDatabaseAndState

    loader = MigrationLoader(None, load=False)
    try:
        with _reading:
            loader.load_disk()
    except Exception:  # noqa: BLE001 (migrations are a project's own code, which may raise anything)
        return {}
    wanted: dict[str, str] = {"postgis": "the PostGIS engine"} if getattr(wrapper.ops, "postgis", False) else {}
    for (app, name), migration in (loader.disk_migrations or {}).items():
        operations = list(migration.operations)
        for operation in operations:
            if isinstance(operation, SeparateDatabaseAndState):
                operations += operation.database_operations
            elif isinstance(operation, CreateExtension):
                # Django has hints for it since 6.0.
                hints = getattr(operation, "hints", None) or {}
                if router.allow_migrate(wrapper.alias, app, **hints):
                    wanted.setdefault(operation.name, f"{app}.{name}")
    return wanted


def _first_of(search_path: str, user: str) -> str:
    names = [name.strip().strip('"') for name in search_path.split(",")]
    return next((user if name == "$user" else name for name in reversed(names) if name), "public")


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def _listed(names: list[str], wanted: dict[str, str]) -> str:
    return ", ".join(f"{name!r} ({wanted[name]})" for name in names)
