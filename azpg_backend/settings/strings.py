"""Connection strings: what a URL, a libpq string or a .NET string says, by libpq's keywords."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from azpg_backend.plan import libpq, passwords, texts

# Schemes of URLs, with whether they ask for PostGIS.
SCHEMES = {
    "azpg": False,
    "azpgis": True,
    "postgres": False,
    "postgresql": False,
    "pgsql": False,
    "psql": False,
    "postgis": True,
}
# Schemes that may be named in a message: whatever else stands before "://" may be a part of a password.
_OTHERS = frozenset({"http", "https", "mariadb", "mongodb", "mssql", "mysql", "oracle", "redis", "rediss", "sqlite"})
_KEYWORDS = frozenset(
    {
        *libpq.KEYWORDS,
        *libpq.NEWER,
        "authtype",
        "client_encoding",
        "fallback_application_name",
        "gsslib",
        "krbsrvname",
        "password",
        "replication",
        "requirepeer",
        "requiressl",
        "sslcompression",
        "tty",
    }
)
# What .NET and JDBC call libpq's keywords: in lower case, without blanks.
_FOREIGN = {
    "address": "host",
    "applicationname": "application_name",
    "database": "dbname",
    "datasource": "host",
    "db": "dbname",
    "host": "host",
    "initialcatalog": "dbname",
    "options": "options",
    "password": "password",
    "port": "port",
    "psw": "password",
    "pwd": "password",
    "rootcertificate": "sslrootcert",
    "server": "host",
    "uid": "user",
    "user": "user",
    "userid": "user",
    "username": "user",
}
# The engine decides these: it verifies the server whatever a string asks for.
_TLS = frozenset({"ssl", "sslmode", "requiressl", "trustservercertificate"})

_QUOTE = "python -c 'import getpass, urllib.parse; print(urllib.parse.quote(getpass.getpass(), safe=\"\"))'"
_ENCODE = f"Percent-encode user and password ('/' is %2F, '@' is %40, '%' is %25): {_QUOTE}"


_FILL_IN = "Set it to the string itself; whatever should fill in this value did not run."
# What is often found in place of a string, how to go on from "it", and what to do.
_OTHER_TEXTS = (
    (
        re.compile("[\"'\u2018\u2019\u201c\u201d]"),
        "begins with a quotation mark",
        "Remove the quotation marks around the value: docker's env files and some portals take them literally.",
    ),
    (
        re.compile(r"@Microsoft\.KeyVault\(", re.IGNORECASE),
        "is a Key Vault reference that nothing resolved",
        passwords.KEY_VAULT_REMEDY,
    ),
    (re.compile(r"psql\s"), "is a command line of psql", "Take what stands behind 'psql', without quotation marks."),
    (
        re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*\s*=\s*[\"']?[a-z+]+://"),
        "is a line of an env file, name and all",
        "Set it to what stands behind the first equals sign.",
    ),
    (passwords.MISSING, "is the word for a missing value", _FILL_IN),
    (re.compile("\ufeff"), "begins with a byte order mark", "Write the file that it comes from without one."),
)


class Unreadable(ValueError):
    """A string can't be read. Holds a phrase that goes on from its name, and what to do; nothing of the string."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Said:
    """What a string says.

    values: libpq's keywords; those that are empty in the string are left out.
    postgis: whether the URL's scheme asks for PostGIS.
    ignored: keys that mean nothing to libpq.
    """

    values: dict[str, str] = field(repr=False)
    postgis: bool = False
    ignored: tuple[str, ...] = ()


def read(text: str) -> Said:
    """Read a connection string in any of its forms.

    Raises Unreadable if it has none of them.
    """
    if re.match(r"\s*(?:jdbc:)?[A-Za-z][\w+.-]*://", text):
        return _url(text.strip())
    if (said := _keyword_value(text)) or (said := _dotnet(text)):
        return said
    for pattern, what, remedy in _OTHER_TEXTS:
        if pattern.match(text.strip()):
            raise Unreadable(f"is not a connection string: it {what}", remedy)
    if texts.is_placeholder(text):
        raise Unreadable("is not a connection string: it is a placeholder that nothing replaced", _FILL_IN)
    raise Unreadable(
        "is not a connection string (not shown: it may hold a password)",
        "Write a URL (azpg://USER:PASSWORD@HOST/NAME) or libpq's form (host=HOST dbname=NAME user=USER "
        "password='PASSWORD'), in which a password with a blank stands in quotes.",
    )


def _said(pairs: Iterable[tuple[str, str]], postgis: bool = False, ignored: Iterable[str] = ()) -> Said:
    # As for libpq, the last of several counts, an empty one too.
    values = {key: value for key, value in dict(pairs).items() if value and key not in _TLS}
    return Said(values, postgis, tuple(ignored))


def _url(text: str) -> Said:
    scheme, _, rest = text.removeprefix("jdbc:").partition("://")
    # SQLAlchemy's URLs name the driver behind a "+".
    scheme = scheme.lower().partition("+")[0]
    if scheme not in SCHEMES:
        what = f"is a {scheme}:// URL" if scheme in _OTHERS else "is a URL of another kind"
        listed = ", ".join(f"{each}://" for each in SCHEMES)
        raise Unreadable(what, f"PostgreSQL's begin with one of {listed}.")
    # "#" is nothing special here, as for libpq: it occurs in passwords.
    authority, path, query = _split(rest)
    userinfo, _, servers = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    hosts, ports = _servers(servers)
    pairs = [("user", user), ("password", password), ("host", hosts), ("dbname", path.removeprefix("/"))]
    ignored: list[str] = []
    known = [*pairs, *_query(query, ignored)]
    return _said([("port", ports), *((key, _decoded(value)) for key, value in known)], SCHEMES[scheme], ignored)


def _split(rest: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([^/?]*)([^?]*)(?:\?(.*))?", rest, re.DOTALL)
    authority, path, query = found.groups(default="") if found else ("", "", "")
    # With a "/" or "?" in the password, the rest of it would be taken for the name of a database.
    if "@" in path or ("@" in query and not re.fullmatch(r"[^@?/]*=.*", query, re.DOTALL)):
        raise Unreadable("is a URL with a '/' or '?' before its '@' (not shown: it may hold a password)", _ENCODE)
    return authority, path, query


def _servers(text: str) -> tuple[str, str]:
    """Split HOST:PORT,HOST:PORT into hosts and ports, without the brackets of an IPv6 address."""
    hosts, ports = [], []
    for item in text.split(","):
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]]*))(?::(\d*))?", item)
        if not found:
            problem = "is a URL whose part behind the password is not HOST:PORT (not shown: it may hold a password)"
            raise Unreadable(problem, _ENCODE)
        hosts.append(found[1] or found[2] or "")
        ports.append(found[3] or "")
    return ",".join(hosts), ",".join(ports if any(ports) else [])


def _query(text: str, ignored: list[str]) -> Iterator[tuple[str, str]]:
    for item in filter(None, text.split("&")):
        key, equals, value = item.partition("=")
        if key == "currentSchema" and value:
            yield "options", f"-c search_path={value}"
        elif equals and (key in _KEYWORDS or key in _TLS):
            yield key, value
        elif equals and (known := _FOREIGN.get(key.lower())):
            yield known, value
        elif equals and re.fullmatch(r"[A-Za-z]\w{1,40}", key) and "@" not in value:
            ignored.append(key)
        else:
            problem = "is a URL with something behind '?' that is not KEY=VALUE (not shown: it may hold a password)"
            raise Unreadable(problem, _ENCODE)


def _decoded(text: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        pass
    raise Unreadable("is a URL with a percent-encoded byte that is not UTF-8", _ENCODE)


def _keyword_value(text: str) -> Said | None:
    """Read libpq's own form, if it is that: with a semicolon between the pairs, all would be the first one's value."""
    pairs = keyword_values(text)
    if not pairs or not all(key in _KEYWORDS for key, _ in pairs):
        return None
    values = dict(pairs)
    if any(";" in values.get(key, "") for key in ("host", "hostaddr", "port")) or not any(
        values.get(key) for key in _PLACES
    ):
        return None
    return _said(pairs)


_PLACES = ("host", "hostaddr", "service")
_PAIR = re.compile(
    r"\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?(?!\S))", re.DOTALL | re.ASCII
)


def keyword_values(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a libpq keyword/value string, or [] if it is none (PostgreSQL's documentation, 32.1.1.1)."""
    pairs = []
    position, end = 0, len(text.rstrip(" \t\n\r\f\v"))
    while position < end:
        found = _PAIR.match(text, position)
        if not found:
            return []
        value = found[2] if found[2] is not None else found[3] or ""
        pairs.append((found[1], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)))
        position = found.end()
    return pairs


_DOTNET_PAIR = re.compile(
    r"""[\s;]*((?:[^=;]|==)+?)\s*=(?!=)\s*(?:"((?:[^"]|"")*)"|'((?:[^']|'')*)'|([^;"'][^;]*|))\s*(?:;|\Z)"""
)


def _dotnet(text: str) -> Said | None:
    """Read KEY=VALUE;KEY=VALUE as .NET does: a value in quotes may hold anything, and doubles its own quotes."""
    pairs, ignored = [], []
    position, end = 0, len(text.rstrip("; \t\r\n"))
    while position < end:
        found = _DOTNET_PAIR.match(text, position)
        if not found:
            return None
        double, single, bare = found[2], found[3], found[4]
        value = double.replace('""', '"') if double is not None else None
        value = single.replace("''", "'") if single is not None else value
        key = re.sub(r"[\s_]", "", found[1]).lower()
        if key in _FOREIGN:
            pairs.append((_FOREIGN[key], bare.strip() if value is None else value))
        elif key not in _TLS:
            ignored.append(" ".join(found[1].split()))
        position = found.end()
    # With a blank in it, the host is the rest of a libpq string that has a mistake.
    if not re.fullmatch(r"[^\s=]+", dict(pairs).get("host", "")) or not all(
        re.fullmatch(r"[A-Za-z][\w ]{1,40}", each) for each in ignored
    ):
        return None
    return _said(pairs, ignored=ignored)
