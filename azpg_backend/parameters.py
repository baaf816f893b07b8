"""What others that connect by themselves need: an alias's verified TLS with its live login.

A token is good for about an hour, so ask again for each connection. A psycopg pool does with
``ConnectionPool(kwargs=functools.partial(parameters.arguments, "default"))`` (psycopg_pool 3.3 and newer).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import OperationalError

from azpg_backend.errors import explain
from azpg_backend.errors.redact import SECRET_KEYWORDS, Secret
from azpg_backend.plan import decision, libpq
from azpg_backend.plan.decision import Plan
from azpg_backend.process import name


def arguments(alias: str = DEFAULT_DB_ALIAS) -> dict[str, Any]:
    """Return keyword arguments for psycopg.connect() or psycopg2.connect(), with the password or a live token.

    Raises ImproperlyConfigured if the settings are unsafe, and OperationalError if there is no token to be had.
    """
    plan, secrets = _decided(alias)
    return {**name_for(plan), **plan.params, **secrets}


def name_for(plan: Plan) -> dict[str, str]:
    """Return what the server calls this process, unless application_name, PGAPPNAME or a service says otherwise."""
    if plan.named_by_service:
        return {}
    return {"fallback_application_name": name.application_name(pooled=plan.pooled)}


def conninfo(alias: str = DEFAULT_DB_ALIAS) -> str:
    """Return a connection string without any secret, which the variables of environment() add.

    Raises as arguments() does.
    """
    plan, secrets = _decided(alias)
    params = {**plan.params, **{key: each for key, each in secrets.items() if key not in SECRET_KEYWORDS}}
    return libpq.conninfo(params)


def environment(alias: str = DEFAULT_DB_ALIAS, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a program that uses libpq, such as pg_dump.

    inherited: what it gets besides; of libpq's variables there, none counts.
    Raises as arguments() does.
    """
    plan, secrets = _decided(alias)
    given = {key: each for key, each in (inherited or {}).items() if key not in _VARIABLES}
    return given | variables({**plan.params, **secrets})


def variables(params: Mapping[str, Any]) -> dict[str, str]:
    """Return libpq's environment variables for keyword arguments, as far as it has some."""
    found = {libpq.ENVIRONMENT[key]: str(each) for key, each in params.items() if key in libpq.ENVIRONMENT}
    return found | ({_PASSWORD: str(params["password"])} if params.get("password") else {})


_PASSWORD = "PGPASSWORD"  # noqa: S105 (a variable's name)
# PGPASSFILE stays: it is asked only if there is no password.
_VARIABLES = frozenset({*libpq.ENVIRONMENT.values(), _PASSWORD})


def _decided(alias: str) -> tuple[Plan, dict[str, Any]]:
    settings = connections[alias].settings_dict
    plan = decision.decide(alias, settings)
    return plan, secrets_of(plan, settings)


def secrets_of(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is not in an alias's plan: secrets, and the user that a token belongs to.

    Raises as arguments() does.
    """
    plan.raise_errors()
    if plan.options.auth == "entra":
        return login(plan)
    options = settings.get("OPTIONS") or {}
    given = {key: options.get(key) for key in SECRET_KEYWORDS} | {
        "password": settings.get("PASSWORD") or options.get("password")
    }
    return {key: Secret(each) for key, each in given.items() if each not in (None, "")}


def login(plan: Plan) -> dict[str, Any]:
    """Return user and password with a live token. Raises OperationalError if there is none."""
    from azpg_backend.entra.login import login_for
    from azpg_backend.entra.tokens import TokenError

    try:
        user, token = login_for(plan)
    except TokenError as error:
        problem = explain.of_token(str(error)).text(plan.alias)
    else:
        return {"user": user, "password": token.text}
    raise OperationalError(problem)
