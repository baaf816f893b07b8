"""The entry: what stands in DATABASES for one source."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from azpg_backend.errors.redact import SECRET_KEYWORDS, Secret
from azpg_backend.plan import hosts
from azpg_backend.settings import sources, strings
from azpg_backend.settings.sources import Source, Variable

ENGINE, GIS_ENGINE = "azpg_backend", "azpg_backend.postgis"
# Django's own engine, for a server that is used without TLS beside this machine.
STOCK = {ENGINE: "django.db.backends.postgresql", GIS_ENGINE: "django.contrib.gis.db.backends.postgis"}
# Names by which a container reaches the machine that it runs on.
_CONTAINER_HOSTS = frozenset({"host.docker.internal", "host.containers.internal"})
_SECRETS = SECRET_KEYWORDS | {"client_secret"}
_MEANINGS = {
    "host": "the server's full name",
    "dbname": "the name of the database",
    "user": "the name of the role",
    "password": "the role's password",
    "client_id": "the application's client id",
    "client_secret": "the application's client secret",
    "tenant_id": "the tenant's id",
}
_IN_A_STRING = {"dbname": "name of a database"}
_ALL = {"host", "dbname", "user", "password"}


@dataclass(frozen=True)
class Wishes:
    """What the caller says beside the environment.

    engine: the ENGINE, or "" for the one that the source asks for.
    auth: "entra" or "password", or "" for what the source says.
    plaintext_hosts: hosts that may be used without TLS.
    """

    engine: str = ""
    auth: str = ""
    plaintext_hosts: Collection[str] = ()


@dataclass(frozen=True)
class Login:
    """What a source says, string and single variables alike.

    source: where it comes from.
    values: libpq's keywords, and the parts that only Service Connector has.
    postgis: whether a URL asks for PostGIS.
    ignored: keys of a string that mean nothing here.
    """

    source: Source
    values: dict[str, str] = field(repr=False)
    postgis: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def is_elsewhere(self) -> bool:
        """Whether the values stand in one string, so that no single variable holds them."""
        return "string" in self.source.parts

    def differs(self, other: Login) -> bool:
        """Whether another source leads to another login. libpq's own variables may leave things open."""
        mine, theirs = ({"port": str(hosts.POSTGRESQL_PORT), **each.values} for each in (self, other))
        keys = mine.keys() & theirs.keys() if other.source.name == "PGHOST" else {*_ALL, "port"}
        return any(mine.get(key, "") != theirs.get(key, "") for key in keys)


def login(source: Source) -> Login:
    """Read a source.

    Raises ImproperlyConfigured if a string can't be read, or the source says two things about one part.
    """
    if source.twice:
        one, other = source.twice[0]
        raise ImproperlyConfigured(f"{one} and {other} are both set, and differ. Remove one of them.")
    values: dict[str, str] = {key: value for key, value in source.parts.items() if key != "string"}
    string = source.parts.get("string")
    if string is None:
        return Login(source, _checked(source, values))
    try:
        said = strings.read(string)
    except strings.Unreadable as error:
        raise ImproperlyConfigured(f"{string.name} {error}") from None
    for key, value in said.values.items():
        if values.get(key, value) != value:
            name = source.parts[key].name
            raise ImproperlyConfigured(f"{string.name} and {name} are both set, and differ. Remove one of them.")
    if values.keys() >= {"host", "dbname", "user"} and said.values.keys() <= values.keys():
        # The string adds nothing, and the snippet is plainer without it.
        plain = Source(source.name, {**source.parts}, [], source.empty, source.may_omit_password)
        del plain.parts["string"]
        return Login(plain, _checked(plain, values))
    return Login(source, _checked(source, {**values, **said.values}), said.postgis, said.ignored)


def _checked(source: Source, values: dict[str, str]) -> dict[str, str]:
    """Refuse a URL in a part, which may hold a password, so that nothing shows it later."""
    for key in ("host", "port", "dbname", "user"):
        if "://" in values.get(key, "") or (key == "host" and "@" in values.get(key, "")):
            where = getattr(values[key], "name", source.name)
            meant = _MEANINGS.get(key, "the number of the port")
            raise ImproperlyConfigured(
                f"{where} holds a URL or a login (not shown: it may hold a password), not {meant}. "
                f"Set it to {meant} alone, or call from_environment({where!r}) if it is a URL."
            )
    return values


def made(found: Login, wishes: Wishes, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry, in which a Variable stands for what a variable holds.

    Raises ImproperlyConfigured if something is missing, or contradicts the rest.
    """
    values, source = found.values, found.source
    plain = _is_plain(values.get("host", ""), wishes.plaintext_hosts)
    entra = _is_entra(found, wishes, plain)
    _require(found, entra, plain)
    engine = wishes.engine or (GIS_ENGINE if found.postgis else ENGINE)
    options = {
        key: Secret(value) if key in _SECRETS else value
        for key, value in values.items()
        if key not in {*_ALL, "port", "client_id", "client_secret", "tenant_id"}
    }
    if plain:
        engine, own = _without_tls(source, engine, values["host"], environ)
    else:
        own = {"azpg": {"auth": "entra", **_identity(source, values, environ)}} if entra else {}
    entry: dict[str, Any] = {
        "ENGINE": engine,
        "NAME": values["dbname"],
        "HOST": values["host"],
        # Always written, so that no PGPORT comes between.
        "PORT": values.get("port", "5432"),
        "USER": values.get("user", ""),
    }
    if not entra and "password" in values:
        password = values["password"]
        entry["PASSWORD"] = password if isinstance(password, Variable) else Secret(password)
    if options or own:
        entry["OPTIONS"] = {**options, **own}
    return entry


def _is_entra(found: Login, wishes: Wishes, plain: bool) -> bool:
    """Whether the login is by Microsoft Entra: the caller says so, or a connection to Azure has no password."""
    values, source = found.values, found.source
    ids = [key for key in ("client_secret", "client_id", "tenant_id") if key in values]
    if "password" in values and (ids or wishes.auth == "entra"):
        other = values[ids[0]].name if ids else "auth='entra'"  # type: ignore[attr-defined]
        raise ImproperlyConfigured(
            f"{_name_of(found, 'password')} is set for a login by password, and {other} for one by Microsoft Entra. "
            "Remove one of them."
        )
    if wishes.auth:
        entra = wishes.auth == "entra"
    else:
        to_azure = hosts.cloud_of(values.get("host", "").split(",")[0]) is not None
        omitted = source.may_omit_password and "password" not in values and "password" not in source.empty
        entra = bool(ids) or (omitted and to_azure)
    if entra and plain:
        raise ImproperlyConfigured(
            f"{_name_of(found, 'host')} is one of plaintext_hosts, and a Microsoft Entra token is sent over verified "
            "TLS only. Remove the host from plaintext_hosts, or log in by password."
        )
    return entra


def _name_of(found: Login, part: str) -> str:
    value = found.values.get(part)
    return value.name if isinstance(value, Variable) else f"the {part} in {found.source.parts['string'].name}"


def _require(found: Login, entra: bool, plain: bool) -> None:
    values, source = found.values, found.source
    needed = ["host", "dbname"]
    # A managed identity's or a user's name follows from the token.
    needed += ["user"] if "client_secret" in values or not (entra or plain) else []
    needed += [] if entra or plain or "passfile" in values else ["password"]
    if entra and "client_secret" in values | source.empty or ("tenant_id" in values and "client_id" not in values):
        needed += ["client_id", "client_secret", "tenant_id"]
    if missing := [part for part in needed if part not in values]:
        raise ImproperlyConfigured(_missing(source, missing))


def _missing(source: Source, missing: list[str]) -> str:
    string = source.parts.get("string")
    if string is not None and not missing[-1].endswith("_id"):
        what = _joined([_IN_A_STRING.get(part, part) for part in missing], "or")
        return f"{string.name} has no {what}. Write it into the string{_instead(source, missing)}."
    names = {part: source.empty.get(part) or variable_for(source.name, part) for part in missing}
    empty = [name for part, name in names.items() if part in source.empty]
    unset = [name for part, name in names.items() if part not in source.empty]
    said = [_are(unset, "not set"), _are(empty, "set, but empty")]
    listed = _joined([f"{name} to {_MEANINGS[part]}" for part, name in names.items()], "and")
    return (
        f"{'; '.join(filter(None, said))}. Found: {', '.join(source.names) or 'none of the others'}. "
        f"Set {listed}{_instead(source, missing)}."
    )


def _are(names: list[str], what: str) -> str:
    return f"{_joined(names, 'and')} {'is' if len(names) == 1 else 'are'} {what}" if names else ""


def _joined(items: list[str], word: str) -> str:
    return f" {word} ".join(filter(None, [", ".join(items[:-1]), items[-1]]))


def _instead(source: Source, missing: list[str]) -> str:
    if "password" not in missing:
        return ""
    if source.may_omit_password and "password" in source.empty:
        return "; for a login by Microsoft Entra, remove the variable"
    return "; for a login by Microsoft Entra, call from_environment(auth='entra')"


def variable_for(source: str, part: str) -> str:
    """Return the name of the variable that a source has for a part."""
    table = {"DBHOST": sources.DB, "PGHOST": sources.LIBPQ}.get(source)
    if table:
        return next((name for name, known in table.items() if known == part), part)
    return f"{source}_{sources.SUFFIXES[part][0]}"


def _identity(source: Source, values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the credential for the identity that the source names, as docs/entra.md has them."""
    client = {"client_id": values["client_id"]} if "client_id" in values else {}
    if "client_secret" in values:
        keys = ("tenant_id", "client_id", "client_secret")
        return _credential("ClientSecretCredential", {key: values[key] for key in keys})
    if environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        tenant = {"tenant_id": values["tenant_id"]} if "tenant_id" in values else {}
        return _credential("WorkloadIdentityCredential", {**tenant, **client})
    if client:
        return _credential("ManagedIdentityCredential", client)
    if environ.get("IDENTITY_ENDPOINT") and not environ.get("AZURE_CLIENT_ID"):
        return _credential("ManagedIdentityCredential", {})
    # A user who is logged in, a virtual machine, or what AZURE_CLIENT_ID names: the default credential tries each.
    return {}


def _credential(name: str, arguments: dict[str, str]) -> dict[str, Any]:
    return {"credential": f"azure.identity.{name}", **({"credential_kwargs": arguments} if arguments else {})}


def check_plaintext_hosts(names: Collection[str]) -> None:
    """Raise ImproperlyConfigured for a host that could be more than a development server."""
    if isinstance(names, str):
        raise ImproperlyConfigured("plaintext_hosts is text. Write a list: plaintext_hosts=['localhost', 'db'].")
    for name in names:
        is_here = bool(name) and hosts.is_local(name)
        is_container = name.lower() in _CONTAINER_HOSTS or re.fullmatch(r"(?!\d+\Z)[\w-]+", name, re.ASCII)
        if not (is_here or is_container):
            raise ImproperlyConfigured(
                f"plaintext_hosts has {name!r}. Only this machine and a container's name, which has no dots, may go "
                "without TLS."
            )


def _is_plain(host: str, allowed: Collection[str]) -> bool:
    names = {each.lower() for each in allowed}
    return bool(host) and all(each.lower() in names for each in host.split(","))


def _without_tls(
    source: Source, engine: str, host: str, environ: Mapping[str, str]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return engine and options for a development server without TLS."""
    if all(hosts.is_local(each) for each in host.split(",")):
        return engine, {"azpg": {"plaintext_on_loopback": True}}
    if sources.on_azure(environ):
        raise ImproperlyConfigured(
            f"{source.name} leads to one of plaintext_hosts, and this is a machine of Azure. Without TLS the password "
            "would cross its network in readable form. Set the variables to your Azure server."
        )
    if engine not in STOCK:
        raise ImproperlyConfigured(
            f"{source.name} leads to one of plaintext_hosts, and {engine!r} has no counterpart without TLS. Choose "
            "ENGINE yourself for that host."
        )
    return STOCK[engine], {}


def resolved(value: Any, key: str = "") -> Any:
    """Return an entry with the values instead of the variables; those of secrets stay hidden from repr()."""
    if isinstance(value, dict):
        return {name: resolved(each, name) for name, each in value.items()}
    if isinstance(value, Variable):
        return Secret(value) if key.lower() in _SECRETS else str.__str__(value)
    return value
