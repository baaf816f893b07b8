"""Keys of OPTIONS that belong elsewhere: MySQL's, the server's own parameters, Django's keys, other pools' settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from azpg_backend.plan import libpq, options, rules, texts

# Taken out of OPTIONS or set by Django, or arguments of the drivers' own connect(), hence not for libpq.
NOT_FOR_LIBPQ = frozenset(
    {"azpg", "pool", "isolation_level", "assume_role", "server_side_binding"}
    | {"cursor_factory", "connection_factory", "row_factory", "context", "prepare_threshold", "autocommit"}
    | {"async", "async_", "client_encoding"}
)
# Those that only one of the drivers takes.
OF_ONE_DRIVER = {
    "connection_factory": "psycopg2",
    "async": "psycopg2",
    "async_": "psycopg2",
    "row_factory": "psycopg 3",
    "context": "psycopg 3",
    "autocommit": "psycopg 3",
}
# Keywords by which a second set of parameters, or libpq's oldest TLS switch, could slip past the plan.
REFUSED = {
    "dsn": "is a whole connection string",
    "conninfo": "is a whole connection string",
    "requiressl": "is libpq's obsolete name for sslmode 'require' or 'prefer', and would replace sslmode",
}
# Settings of other packages' pools, which read them from OPTIONS themselves.
OTHER_POOLS = {
    "MAX_CONNS": "django-db-geventpool",
    "REUSE_CONNS": "django-db-geventpool",
    "POOL_OPTIONS": "django-db-connection-pool",
    "POOL_SIZE": "django-db-connection-pool",
    "MAX_OVERFLOW": "django-db-connection-pool",
    "RECYCLE": "django-db-connection-pool",
}
# Django's own keys beside OPTIONS.
DJANGO_KEYS = (
    ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS", "TEST", "TIME_ZONE", "CONN_MAX_AGE")
    + ("CONN_HEALTH_CHECKS", "AUTOCOMMIT", "ATOMIC_REQUESTS", "DISABLE_SERVER_SIDE_CURSORS")
)  # fmt: skip

_VERIFIED = "Remove it: TLS with verification is always on."
_ROOTS = "Remove it: the roots of Azure are in this package. For your own file, libpq's keyword is 'sslrootcert'."
# What other databases and libraries call it, without "-" and "_", and what to write here.
_REMEDIES = {
    **dict.fromkeys(("ssl", "tls", "usessl", "requiressl", "sslrequire", "encrypt", "useencryption"), _VERIFIED),
    **dict.fromkeys(("ssldisabled", "trustservercertificate", "sslverifycert", "sslverifyidentity"), _VERIFIED),
    **dict.fromkeys(("sslfactory", "sslhostnameverifier", "rejectunauthorized", "trustservercert"), _VERIFIED),
    **dict.fromkeys(("sslcertreqs", "sslcheckhostname", "checkhostname", "sslcontext", "verify"), _VERIFIED),
    **dict.fromkeys(("sslca", "sslcapath", "sslcacert", "sslcacerts", "ca", "cafile", "sslcafile"), _ROOTS),
    **dict.fromkeys(("charset", "useunicode", "encoding", "collation"), "Remove it: Django always uses UTF-8 here."),
    **dict.fromkeys(
        ("initcommand", "sqlmode", "readdefaultfile", "initsql"),
        "PostgreSQL has no such option. Write server parameters as \"options\": \"-c name=value\", or run SQL in a "
        "receiver of django.db.backends.signals.connection_created.",
    ),
    **dict.fromkeys(
        ("readtimeout", "writetimeout", "querytimeout", "commandtimeout", "maxstatementtime", "sockettimeout"),
        "Write \"options\": \"-c statement_timeout=30000\" (milliseconds).",
    ),
    **dict.fromkeys(("timeout", "logintimeout", "connectiontimeout"), "Libpq's word is 'connect_timeout' (seconds)."),
    **dict.fromkeys(("unixsocket", "socket", "hostname", "server"), "Write it as HOST, one level up, beside NAME."),
    **dict.fromkeys(("database", "db"), "Write it as NAME, one level up, beside HOST."),
    **dict.fromkeys(("passwd", "pwd"), "Write it as PASSWORD, one level up, beside HOST."),
    **dict.fromkeys(("username", "uid"), "Write it as USER, one level up, beside HOST."),
    **dict.fromkeys(("schema", "currentschema"), "Write \"options\": \"-c search_path=...\"."),
    **dict.fromkeys(("role", "setrole"), "Django's key for it is 'assume_role'."),
    **dict.fromkeys(
        ("checksamethread", "transactionmode", "driver", "extraparams", "multipleactiveresultsets", "compress")
        + ("compression", "connectargs", "echo"),
        "Remove it: it belongs to another database.",
    ),
    "targetservertype": "Libpq's keyword is 'target_session_attrs'.",
    **dict.fromkeys(
        ("pooling", "pgbouncer", "poolsize", "poolpreping", "poolrecycle", "pooltimeout", "connectionlimit")
        + ("maxpoolsize", "minpoolsize", "maximumpoolsize", "minimumpoolsize", "maxoverflow", "connectionlifetime"),
        "Django's own pool is 'pool': {'min_size': ..., 'max_size': ...} in OPTIONS (with psycopg 3).",
    ),
    "sslkeyfile": "Libpq's keyword is 'sslkey'.",
    "sslcertfile": "Libpq's keyword is 'sslcert'.",
}  # fmt: skip
# The server's parameters that people set for a connection (PostgreSQL's documentation, chapter "Server Configuration").
_PARAMETERS = frozenset(
    """
    statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout
    search_path timezone default_transaction_isolation default_transaction_read_only default_transaction_deferrable
    transaction_read_only transaction_isolation work_mem maintenance_work_mem temp_buffers jit log_statement
    log_min_duration_statement log_duration client_min_messages datestyle intervalstyle extra_float_digits geqo
    random_page_cost seq_page_cost effective_cache_size effective_io_concurrency enable_seqscan enable_indexscan
    enable_bitmapscan enable_hashjoin enable_nestloop enable_mergejoin enable_sort synchronous_commit row_security
    session_replication_role max_parallel_workers_per_gather max_parallel_workers standard_conforming_strings
    plan_cache_mode cursor_tuple_fraction deadlock_timeout bytea_output xmloption default_statistics_target
    default_tablespace temp_tablespaces default_table_access_method password_encryption tcp_keepalives_idle
    tcp_keepalives_interval tcp_keepalives_count client_connection_check_interval lc_messages lc_monetary lc_numeric
    lc_time backslash_quote array_nulls constraint_exclusion hash_mem_multiplier join_collapse_limit
    from_collapse_limit track_io_timing vacuum_cost_delay gin_fuzzy_search_limit wal_compression
    """.split()  # noqa: SIM905 (a list would be four times as long)
)
# Keys of a whole alias under other names.
_OTHER_NAMES = {
    "USERNAME": "USER",
    "DATABASE": "NAME",
    "DBNAME": "NAME",
    "DB": "NAME",
    "PASSWD": "PASSWORD",
    "PASS": "PASSWORD",
    "PWD": "PASSWORD",
    "HOSTNAME": "HOST",
    "SERVER": "HOST",
    "OPTION": "OPTIONS",
    "TIMEZONE": "TIME_ZONE",
    "MAX_AGE": "CONN_MAX_AGE",
}


def remedy(key: str, value: Any) -> str:
    """Return what to do about a key of OPTIONS that libpq and Django don't know."""
    bare = key.lower().replace("-", "").replace("_", "").replace(" ", "")
    upper = key.upper().replace("-", "_")
    if upper in DJANGO_KEYS:
        return f"Write it one level up, beside HOST: '{upper}'."
    if key in options.names():
        return f"Write it one level down: 'azpg': {{{key!r}: ...}}."
    if key in rules.POOL and bare not in _REMEDIES:
        return f"Write it one level down: 'pool': {{{key!r}: ...}}."
    if parameter := _parameter(key):
        return _as_option(parameter, value)
    for keyword in (*libpq.KEYWORDS, *libpq.NEWER, *NOT_FOR_LIBPQ):
        if keyword != key and keyword.replace("_", "") == bare:
            return f"Did you mean {keyword!r}?"
    if bare in _REMEDIES:
        return _REMEDIES[bare]
    if since := libpq.NEWER.get(key):
        return (
            f"It is new in libpq {since}, and the driver's is {libpq.version_text()}: remove it or update the driver."
        )
    return _closest(key)


def _closest(key: str) -> str:
    names = [*libpq.KEYWORDS, *libpq.NEWER, *NOT_FOR_LIBPQ, *_PARAMETERS]
    close = difflib.get_close_matches(key.lower(), names, 1, 0.75)
    if not close:
        return "Remove it; PostgreSQL's documentation lists the keywords under 'Parameter Key Words'."
    if close[0] in _PARAMETERS:
        return f'Did you mean the server parameter {close[0]!r}? Then write "options": "-c {close[0]}=...".'
    return f"Did you mean {close[0]!r}?"


def _parameter(key: str) -> str:
    """Return the name of the server parameter that a key is, or ""."""
    name = re.sub(r"^(-c\s*|--)", "", key.strip().lower()).partition("=")[0].strip()
    if name in _PARAMETERS or re.fullmatch(r"[a-z_]\w*\.[a-z_]\w*", name):
        return name
    underscored = name.replace("-", "_")
    return underscored if underscored in _PARAMETERS else ""


def _as_option(parameter: str, value: Any) -> str:
    value = texts.plain(texts.settled(value))
    if isinstance(value, bool):
        value = "on" if value else "off"
    text = str(value) if isinstance(value, (str, int, float)) else ""
    simple = text if re.fullmatch(r"[\w.,-]{1,40}", text, re.ASCII) else "..."
    return (
        f'It is a parameter of the server: write "options": "-c {parameter}={simple}" in OPTIONS, or, for '
        f"PgBouncer's ports, ALTER ROLE ... SET {parameter} = '{simple}'."
    )


def beside_options(settings: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """Return the keys beside OPTIONS that nothing reads although somebody meant something, each with a remedy."""
    found = []
    for key in settings:
        if not isinstance(key, str) or key in DJANGO_KEYS:
            continue
        upper = key.upper()
        if upper in DJANGO_KEYS:
            found.append((key, f"Write it in upper case: '{upper}'."))
        elif upper in _OTHER_NAMES:
            found.append((key, f"Django's key for it is '{_OTHER_NAMES[upper]}'."))
        elif key in libpq.KEYWORDS or key in {"azpg", "pool", "isolation_level", "assume_role", "server_side_binding"}:
            found.append((key, f"Write it into OPTIONS: 'OPTIONS': {{{key!r}: ...}}."))
        elif close := difflib.get_close_matches(upper, DJANGO_KEYS, 1, 0.88):
            found.append((key, f"Did you mean '{close[0]}'?"))
    return [(texts.shown_key(key), hint) for key, hint in found]
