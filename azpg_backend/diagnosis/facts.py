"""What the server says of a session, asked in as few round trips as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_SESSION = """
SELECT current_setting('server_version'), current_user, current_setting('transaction_read_only') = 'on',
       pg_is_in_recovery(), ssl, version, cipher, current_database(), current_setting('search_path'),
       current_schema(), has_schema_privilege(current_schema(), 'CREATE')
FROM (SELECT 1) AS one LEFT JOIN pg_stat_ssl ON pid = pg_backend_pid()
"""
_LAG = """
SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END
"""
_READ_ONLY = "SELECT setting = 'on', source FROM pg_settings WHERE name = 'default_transaction_read_only'"
_EXTENSIONS = """
SELECT current_setting('azure.extensions', true),
       ARRAY(SELECT name::text FROM pg_available_extensions WHERE name = ANY(%s)),
       ARRAY(SELECT extname::text FROM pg_extension)
"""


class OddAnswer(Exception):
    """A query was answered with something else than PostgreSQL answers."""


@dataclass(frozen=True)
class Facts:
    """protocol and cipher: of the connection as the server sees it; None without TLS.
    schema: the first of search_path that the role may use, where migrate puts tables; None if there is none.
    may_create: whether the role may create tables there.
    """

    server_version: str
    user: str
    read_only: bool
    in_recovery: bool
    tls: bool
    protocol: str | None
    cipher: str | None
    database: str
    search_path: str
    schema: str | None
    may_create: bool


@dataclass(frozen=True)
class Extensions:
    """allowed: the extensions that Azure lets users create; None if this is not Azure.
    offered: of those that were asked for, the ones that the server has.
    installed: all that the database has.
    """

    allowed: frozenset[str] | None
    offered: frozenset[str]
    installed: frozenset[str]


def of_session(connection: Any) -> Facts:
    row = _row(connection, _SESSION, 11)
    version, user, read_only, in_recovery, tls, protocol, cipher, database, path, schema, may_create = row
    return Facts(
        str(version),
        str(user),
        bool(read_only),
        bool(in_recovery),
        bool(tls),
        protocol,
        cipher,
        str(database),
        str(path),
        schema,
        bool(may_create),
    )


def lag_seconds(connection: Any) -> float | None:
    """Return how far a standby is behind; None if it can't tell."""
    (seconds,) = _row(connection, _LAG, 1)
    return None if seconds is None else max(0.0, round(float(seconds), 1))


def why_read_only(connection: Any) -> str:
    """Return where default_transaction_read_only was turned on (``pg_settings.source``), or "" if it is off."""
    on, source = _row(connection, _READ_ONLY, 2)
    return str(source) if on else ""


def extensions(connection: Any, names: Iterable[str]) -> Extensions:
    allowed, offered, installed = _row(connection, _EXTENSIONS, 3, [list(names)])
    listed = None if allowed is None else frozenset(each.strip().lower() for each in str(allowed).split(","))
    return Extensions(listed, frozenset(offered), frozenset(installed))


def _row(connection: Any, query: str, columns: int, values: Sequence[Any] | None = None) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        row: Sequence[Any] | None = cursor.fetchone() if cursor.description else None
    if row is None or len(row) != columns:
        raise OddAnswer(f"the check asked for one row of {columns} columns and got {row!r}")
    return row
