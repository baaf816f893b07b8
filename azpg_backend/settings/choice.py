"""The choice among sources: one counts, or the environment is ambiguous."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from azpg_backend.plan import hosts
from azpg_backend.settings import sources
from azpg_backend.settings.entry import ENGINE, Login, Wishes, check_plaintext_hosts, login, made
from azpg_backend.settings.sources import Source, Variable


@dataclass(frozen=True)
class Choice:
    """The login that counts, or None if nothing is set.

    notes: what the user should know about the choice.
    """

    login: Login | None
    notes: tuple[str, ...] = ()


def entry(environ: Mapping[str, str], name: str, default: str, wishes: Wishes) -> tuple[dict[str, Any], list[str]]:
    """Return the entry for the source that counts, and what the user should know.

    Raises ImproperlyConfigured if no entry can be made.
    """
    if wishes.auth not in ("", "entra", "password"):
        raise ImproperlyConfigured("auth is neither 'entra' nor 'password'.")
    check_plaintext_hosts(wishes.plaintext_hosts)
    found = of(environ, name, default)
    entry = made(found.login, wishes, environ) if found.login else unconfigured(wishes.engine)
    return entry, [*found.notes, *doubts(entry)]


def of(environ: Mapping[str, str], name: str = "", default: str = "") -> Choice:
    """Choose by name, or the only source that there is.

    Raises ImproperlyConfigured if two sources lead to different logins.
    """
    if name and not re.fullmatch(r"[\w.-]+", name):
        # It may be a URL, with a password in it.
        raise ImproperlyConfigured(
            "source (not shown) is not the name of a variable. Give a name, such as 'DATABASE_URL'; a URL belongs in "
            "the variable, or in default=."
        )
    each = [sources.chosen(environ, name)] if name else sources.found(environ)
    if complete := [source for source in each if source.is_complete]:
        return _only(complete)
    # PGUSER and PGPASSWORD alone are for psql, and lead nowhere.
    if partial := [source for source in each if source.parts and source.name != "PGHOST"]:
        # Its missing parts are named when the entry is made.
        return Choice(login(partial[0]))
    if default and not sources.on_azure(environ):
        return Choice(login(Source("default", {"string": Variable(default, "default")})))
    return Choice(None, (_nothing(name, environ),))


def _only(complete: list[Source]) -> Choice:
    first, *others = [login(source) for source in complete]
    differing = [other for other in others if first.differs(other)]
    rivals = [other.source.name for other in differing if other.source.name != "PGHOST"]
    if rivals:
        names = [first.source.name, *rivals]
        calls = " or ".join(f"from_environment({name!r})" for name in names)
        raise ImproperlyConfigured(
            f"The environment leads to {len(names)} logins that differ: {', '.join(names)}. Choose one: {calls}."
        )
    if differing:
        # libpq's own variables yield to every setting; nothing of them is mixed in.
        note = f"{first.source.name} and PGHOST lead to different logins; {first.source.name} counts."
        return Choice(first, (f"{note} To say so: from_environment({first.source.name!r}).",))
    return Choice(first)


def _nothing(name: str, environ: Mapping[str, str]) -> str:
    if name:
        wanted = f"Neither {name}, nor a variable that begins with {name}_ and ends in HOST or CONNECTIONSTRING, is set"
    else:
        wanted = (
            "No database in the environment: looked for AZURE_POSTGRESQL_HOST or _CONNECTIONSTRING, "
            "POSTGRESQLCONNSTR_..., DATABASE_URL, DBHOST and PGHOST"
        )
    empty = sorted(each for source in sources.found(environ) for each in source.empty.values())
    found = f" (set, but empty: {', '.join(empty)})" if empty else ""
    return f"{wanted}{found}. Connecting will fail. Set one of them, or pass default=."


def unconfigured(engine: str) -> dict[str, Any]:
    """Return the entry for an environment without a database, such as an image's build."""
    return {"ENGINE": engine or ENGINE, "NAME": "", "HOST": ""}


def doubts(entry: Mapping[str, Any]) -> list[str]:
    """Return what is likely to be wrong with an entry."""
    user, host = entry.get("USER", ""), entry["HOST"]
    if not hosts.is_server_behind(user, host):
        return []
    where = user.name if isinstance(user, Variable) else "the user"
    return [
        f"{where} has the form user@server, which belongs to the retired Single Server: flexible server takes the "
        "role's name alone. Remove the '@' and what follows."
    ]
