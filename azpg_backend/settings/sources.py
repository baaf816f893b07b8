"""Sources: which variables of an environment lead to a database, by the conventions that set them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from azpg_backend.errors.redact import MASK
from azpg_backend.plan import hosts
from azpg_backend.settings import strings


class Variable(str):
    """A variable's value, with the expression that looks it up. Not shown: any of them may hold a secret."""

    name: str
    expression: str

    def __new__(cls, value: str, name: str, expression: str = "") -> Variable:
        made = super().__new__(cls, value)
        made.name = name
        made.expression = expression or f'os.environ["{name}"]'
        return made

    def __repr__(self) -> str:
        return f"{self.name}={MASK}"


# Service Connector's names behind the prefix, its older ones and the field's.
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "host": ("HOST",),
    "dbname": ("NAME", "DATABASE", "DB"),
    "user": ("USER", "USERNAME"),
    "password": ("PASSWORD", "PASS"),
    "port": ("PORT",),
    "client_id": ("CLIENTID",),
    "client_secret": ("CLIENTSECRET",),
    "tenant_id": ("TENANTID",),
    "string": ("CONNECTIONSTRING", "URL"),
}
_BEHIND = {suffix: part for part, suffixes in SUFFIXES.items() for suffix in suffixes}
LIBPQ = {"PGHOST": "host", "PGDATABASE": "dbname", "PGUSER": "user", "PGPASSWORD": "password", "PGPORT": "port"}
DB = {"DBHOST": "host", "DBNAME": "dbname", "DBUSER": "user", "DBPASS": "password", "DBPORT": "port"}
CONNECTOR = "AZURE_POSTGRESQL"
_CONNECTOR = re.compile(rf"({CONNECTOR}(?:_\w+)?)_({'|'.join(_BEHIND)})")
_STRINGS = ("POSTGRESQLCONNSTR_", "CUSTOMCONNSTR_")

# Variables by which Azure's platforms are known: App Service, Functions, Container Apps, AKS' workload identity.
_PLATFORM = (
    "WEBSITE_HOSTNAME",
    "WEBSITE_SITE_NAME",
    "CONTAINER_APP_NAME",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "AZURE_FEDERATED_TOKEN_FILE",
)


@dataclass
class Source:
    """Variables that belong together.

    name: what from_environment() takes to choose it.
    parts: a variable for each part of the login, "string" for one that holds several.
    twice: pairs of variables that say two things about one part.
    empty: variables that are set to nothing, by part.
    may_omit_password: whether a missing password means a login with Microsoft Entra, as Service Connector's do.
    """

    name: str
    parts: dict[str, Variable] = field(default_factory=dict)
    twice: list[tuple[str, str]] = field(default_factory=list)
    empty: dict[str, str] = field(default_factory=dict)
    may_omit_password: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether it says which server to use."""
        return bool(self.parts.keys() & {"host", "string"})

    @property
    def names(self) -> list[str]:
        return sorted(each.name for each in self.parts.values())

    def add(self, part: str, name: str, value: str) -> None:
        if not value:
            self.empty[part] = name
        elif part in self.parts and self.parts[part] != value:
            self.twice.append((self.parts[part].name, name))
        else:
            self.parts.setdefault(part, Variable(value, name))


def on_azure(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in _PLATFORM)


def found(environ: Mapping[str, str]) -> list[Source]:
    """Return every source that the environment holds, those that count first."""
    each = [*_connectors(environ), *_strings(environ), *_url(environ), *_db(environ), *_libpq(environ)]
    return [source for source in each if source.parts or source.empty]


def chosen(environ: Mapping[str, str], name: str) -> Source:
    """Return the source of this name: a variable that holds a string, or the start of several variables' names."""
    if name in ("DBHOST", "PGHOST"):
        return next(iter((_db if name == "DBHOST" else _libpq)(environ)))
    for wanted in (name, *(start + name for start in _STRINGS)):
        for variable, value in environ.items():
            if variable.upper() == wanted.upper():
                source = Source(variable)
                source.add("string", variable, value)
                return source
    prefix = name.rstrip("_")
    source = Source(prefix, may_omit_password=True)
    for variable, value in sorted(environ.items()):
        start, _, suffix = variable.upper().rpartition("_")
        if start == prefix.upper() and suffix in _BEHIND:
            source.add(_BEHIND[suffix], variable, value)
    return source


def _connectors(environ: Mapping[str, str]) -> Iterator[Source]:
    made: dict[str, Source] = {}
    for name, value in sorted(environ.items()):
        if match := _CONNECTOR.fullmatch(name.upper()):
            source = made.setdefault(match[1], Source(match[1], may_omit_password=True))
            source.add(_BEHIND[match[2]], name, value)
    yield from made.values()


def _strings(environ: Mapping[str, str]) -> Iterator[Source]:
    for name, value in sorted(environ.items()):
        kind = next((start for start in _STRINGS if name.upper().startswith(start)), "")
        if kind == _STRINGS[0] or (kind and _is_postgresql(value)):
            source = Source(name)
            source.add("string", name, value)
            yield source


def _is_postgresql(text: str) -> bool:
    """Whether a string of the custom type is for PostgreSQL, and not for Redis, say."""
    try:
        said = strings.read(text)
    except strings.Unreadable:
        return False
    return "://" in text or hosts.cloud_of(said.values.get("host", "")) is not None or "dbname=" in text


def _url(environ: Mapping[str, str]) -> Iterator[Source]:
    source = Source("DATABASE_URL")
    source.add("string", "DATABASE_URL", environ.get("DATABASE_URL", ""))
    if "DATABASE_URL" in environ:
        yield source


def _db(environ: Mapping[str, str]) -> Iterator[Source]:
    source = _named("DBHOST", DB, environ)
    host = source.parts.get("host", "")
    # Azure's older sample keeps the server's short name there, and its code appends the rest.
    if isinstance(host, Variable) and environ.get("WEBSITE_HOSTNAME") and re.fullmatch(r"[A-Za-z0-9-]+", host):
        suffix = hosts.CLOUDS[0].suffix
        source.parts["host"] = Variable(host + suffix, host.name, f'{host.expression} + "{suffix}"')
    yield source


def _libpq(environ: Mapping[str, str]) -> Iterator[Source]:
    yield _named("PGHOST", LIBPQ, environ)


def _named(name: str, parts: Mapping[str, str], environ: Mapping[str, str]) -> Source:
    source = Source(name)
    for variable, part in parts.items():
        if variable in environ:
            source.add(part, variable, environ[variable])
    return source
