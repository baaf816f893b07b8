"""What a libpq knows: the one inside the driver that Django loaded, or the one behind psql."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

# Environment variables of the keywords that matter here, from libpq's documentation ("Environment Variables").
ENVIRONMENT = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
    "sslcertmode": "PGSSLCERTMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "gssencmode": "PGGSSENCMODE",
    "require_auth": "PGREQUIREAUTH",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
}
# All keywords that matter here; of these last there is no variable.
KEYWORDS = (
    *ENVIRONMENT,
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)

# The PostgreSQL release whose libpq first has the keyword, for those newer than PostgreSQL 12. psql can't be asked
# which keywords it takes without opening a connection.
NEWER = {
    "ssl_min_protocol_version": 13,
    "ssl_max_protocol_version": 13,
    "channel_binding": 13,
    "sslpassword": 13,
    "sslsni": 14,
    "sslcrldir": 14,
    "sslcertmode": 16,
    "require_auth": 16,
    "load_balance_hosts": 16,
    "gssdelegation": 16,
    "sslnegotiation": 17,
    "min_protocol_version": 18,
    "max_protocol_version": 18,
    "sslkeylogfile": 18,
    "scram_client_key": 18,
    "scram_server_key": 18,
    "oauth_issuer": 18,
    "oauth_client_id": 18,
    "oauth_client_secret": 18,
    "oauth_scope": 18,
}


# Host, address and port, as libpq is given them.
Server = tuple[str, str, str]


def server_of(params: Mapping[str, object]) -> Server:
    """Return what tells one server, or list of servers, from another."""
    return (str(params.get("host", "")), str(params.get("hostaddr", "")), str(params.get("port", "")))


@lru_cache(maxsize=256)
def knows(keyword: str) -> bool:
    """Ask the libpq of the loaded driver whether it takes a keyword.

    The answer comes from its own parser, so it is right for every build, not only for the versions we have seen.
    """
    return keyword in _common() or (keyword.isidentifier() and _takes(keyword))


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    """Return KEYWORDS, if libpq takes all: one question is cheaper than one for each."""
    return frozenset(KEYWORDS if _takes(*KEYWORDS) else ())


def _takes(*keywords: str) -> bool:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if is_psycopg3:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict as parse
    else:
        from psycopg2 import ProgrammingError
        from psycopg2.extensions import parse_dsn as parse
    try:
        parse(" ".join(f"{keyword}=x" for keyword in keywords))
    except ProgrammingError:
        return False
    return True


def driver() -> str:
    """Return the name of the driver that Django takes."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return "psycopg 3" if is_psycopg3 else "psycopg2"


@lru_cache(maxsize=1)
def version() -> int:
    """Return the version of the loaded driver's libpq, such as 170011 for 17.11."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if is_psycopg3:
        from psycopg import pq

        return int(pq.version())
    from psycopg2.extensions import libpq_version

    return int(libpq_version())


def version_text() -> str:
    return "{}.{}".format(*divmod(version(), 10000))


def psql_version(executable: str) -> int:
    """Return psql's major version, or 12 if its answer can't be read.

    Raises OSError if there is no such program, as running it for the user would.
    """
    with subprocess.Popen(  # noqa: S603 (the program that is about to be run for the user anyway)
        [executable, "--version"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as psql:
        answer, _ = psql.communicate()
    found = re.search(r"\b(\d+)(?:\.\d+|devel|beta\d+|rc\d+)", answer)
    return int(found[1]) if found else 12


def psql_knows(keyword: str, major: int) -> bool:
    return NEWER.get(keyword, 0) <= major


def connect_timeout_of(params: Mapping[str, Any]) -> int:
    """Return connect_timeout in seconds; 0 stands for "for ever", as in libpq."""
    try:
        return max(0, int(params.get("connect_timeout", 0)))
    except (TypeError, ValueError):
        return 0


def conninfo(params: Mapping[str, object]) -> str:
    """Write parameters as a libpq keyword/value string, quoted as its documentation says (34.1.1.1)."""
    return " ".join(f"{keyword}={_quoted(str(value))}" for keyword, value in params.items())


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.,:/@+-]+", value, re.ASCII):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def service_values(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Read a service from the files in which libpq looks for it, or return {} if none has it.

    libpq's own rules ("The Connection Service File"): ``PGSERVICEFILE`` or the file in the home folder, then the
    system-wide one, whose place only ``PGSYSCONFDIR`` tells us. White space around "=" is not allowed there.
    """
    home = Path(environ["APPDATA"], "postgresql") if os.name == "nt" and "APPDATA" in environ else _home(environ)
    candidates = [Path(environ.get("PGSERVICEFILE") or home / ".pg_service.conf")]
    if "PGSYSCONFDIR" in environ:
        candidates.append(Path(environ["PGSYSCONFDIR"], "pg_service.conf"))
    for path in candidates:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except (OSError, ValueError):
            continue
        values = _service_section(lines, service)
        if values is not None:
            return values
    return {}


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))


def _service_section(lines: list[str], service: str) -> dict[str, str] | None:
    values: dict[str, str] | None = None
    for line in lines:
        line = line.strip(" \t\v\f\r\n")
        if line.startswith("#") or not line:
            continue
        if line.startswith("["):
            if values is not None:
                break
            if line.startswith(f"[{service}]"):
                values = {}
        elif values is not None:
            keyword, _, value = line.partition("=")
            values.setdefault(keyword, value)
    return values
