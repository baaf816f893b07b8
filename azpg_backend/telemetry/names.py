"""The names of all that is told, each declared once: an interface, in which none is changed.

The names of metrics and attributes that start with "db." are OpenTelemetry's semantic conventions for databases.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

LOGGER = "azpg_backend"
METER = "azpg_backend"

# Attributes of log records; each has "azpg_" in front.
KEYS: Mapping[str, str] = {
    "event": "the name of the event",
    "alias": "the alias in DATABASES",
    "server": "the servers of the alias as host:port, several separated by commas",
    "attempt": "how many attempts this connect has made so far",
    "seconds": "a time in seconds; which one, the event says",
    "error_type": "why it failed: a code of azpg_check",
    "credential": "the class of the Microsoft Entra credential",
    "waiting": "other requests that wait for a connection of the pool",
}


class Event(NamedTuple):
    """A log record. keys: what it carries beside its name, of KEYS."""

    name: str
    level: int
    keys: tuple[str, ...]
    meaning: str


_CONNECT = ("alias", "server", "attempt", "seconds")
OPENED = Event("connection.opened", logging.DEBUG, _CONNECT, "A connection is open, after so many seconds.")
RETRIED = Event(
    "connection.retried",
    logging.INFO,
    (*_CONNECT, "error_type"),
    "An attempt failed, and another one follows after so many seconds.",
)
FAILED = Event(
    "connection.failed", logging.INFO, (*_CONNECT, "error_type"), "A connect was given up after so many seconds."
)
REJECTED = Event(
    "connection.rejected",
    logging.INFO,
    (*_CONNECT, "error_type"),
    "A connect failed without an attempt: the server has been down for so many seconds, longer than "
    "`connect_retry_seconds`.",
)
OUTAGE_BEGAN = Event(
    "outage.began", logging.WARNING, ("alias", "server", "error_type"), "A server that is away was noticed."
)
OUTAGE_ENDED = Event(
    "outage.ended", logging.WARNING, ("alias", "server", "seconds"), "The server is back, after so many seconds."
)
TOKEN_REFUSED = Event(
    "token.refused", logging.INFO, ("alias", "server"), "The server refused the token; a fresh one is asked for."
)
TOKEN_FETCHED = Event(
    "token.fetched", logging.INFO, ("credential", "seconds"), "A new token is there; it ends in so many seconds."
)
TOKEN_NOT_RENEWED = Event(
    "token.not_renewed",
    logging.WARNING,
    ("credential", "seconds"),
    "A token could not be renewed; the present one serves for so many seconds more.",
)
TOKEN_FAILED = Event(
    "token.failed",
    logging.INFO,
    ("credential", "seconds"),
    "There is no token, and the connect that asked for it fails.",
)
POOL_TIMEOUT = Event(
    "pool.timeout",
    logging.INFO,
    ("alias", "server", "seconds", "waiting"),
    "A request got no connection from the pool within so many seconds.",
)
EVENTS = (
    OPENED,
    RETRIED,
    FAILED,
    REJECTED,
    OUTAGE_BEGAN,
    OUTAGE_ENDED,
    TOKEN_REFUSED,
    TOKEN_FETCHED,
    TOKEN_NOT_RENEWED,
    TOKEN_FAILED,
    POOL_TIMEOUT,
)

SYSTEM = "db.system.name"
ADDRESS = "server.address"
PORT = "server.port"
POOL = "db.client.connection.pool.name"
STATE = "db.client.connection.state"
ERROR = "error.type"
CREDENTIAL = "azpg.credential"
ATTRIBUTES: Mapping[str, str] = {
    SYSTEM: "`postgresql`",
    ADDRESS: "the host as libpq is given it; several are separated by commas",
    PORT: "the first host's port",
    POOL: "the alias in DATABASES, whether it has a pool or not",
    STATE: "`idle` or `used`",
    ERROR: "why it failed: a [code](codes.md) of `azpg_check`; absent if it did not",
    CREDENTIAL: "the class of the Microsoft Entra credential",
}


class Metric(NamedTuple):
    """An instrument. kind: OpenTelemetry's; an observable one is asked for at each collection."""

    name: str
    kind: str
    unit: str
    attributes: tuple[str, ...]
    meaning: str


COUNTER, HISTOGRAM = "counter", "histogram"
UP_DOWN, OBSERVED_COUNTER, GAUGE = "observable_up_down_counter", "observable_counter", "observable_gauge"
_SERVER = (SYSTEM, ADDRESS, PORT)
_ALIAS = (*_SERVER, POOL)

CREATE_TIME = Metric(
    "db.client.connection.create_time",
    HISTOGRAM,
    "s",
    _ALIAS,
    "Time it took to open a connection, with its retries and the wait for a token.",
)
ATTEMPTS = Metric(
    "azpg.connection.attempts", COUNTER, "{attempt}", (*_ALIAS, ERROR), "Attempts to connect, failed ones included."
)
RETRIES = Metric(
    "azpg.connection.retries",
    COUNTER,
    "{attempt}",
    (*_ALIAS, ERROR),
    "Failed attempts that were followed by another one.",
)
FAILURES = Metric("azpg.connection.failures", COUNTER, "{connection}", (*_ALIAS, ERROR), "Connects that were given up.")
REJECTIONS = Metric(
    "azpg.connection.rejections",
    COUNTER,
    "{connection}",
    (*_ALIAS, ERROR),
    "Connects that failed without an attempt, because the server was known to be down.",
)
OUTAGES = Metric("azpg.outages", COUNTER, "{outage}", (*_SERVER, ERROR), "Outages that this process noticed.")
OUTAGE_DURATION = Metric(
    "azpg.outage.duration", HISTOGRAM, "s", _SERVER, "Length of the outages that ended, as this process saw them."
)
OUTAGE_ACTIVE = Metric(
    "azpg.outage.active", GAUGE, "{outage}", _SERVER, "1 while the server is known to be down, otherwise 0."
)
TOKEN_FETCH_DURATION = Metric(
    "azpg.token.fetch.duration",
    HISTOGRAM,
    "s",
    (CREDENTIAL, ERROR),
    "Time it took to fetch a Microsoft Entra token; its count is that of the renewals.",
)
TOKEN_REFUSALS = Metric("azpg.token.refusals", COUNTER, "{token}", _ALIAS, "Tokens that the server refused.")
POOL_COUNT = Metric(
    "db.client.connection.count", UP_DOWN, "{connection}", (*_ALIAS, STATE), "Connections of the pool, by state."
)
POOL_MAX = Metric("db.client.connection.max", UP_DOWN, "{connection}", _ALIAS, "The pool's `max_size`.")
POOL_MIN = Metric("db.client.connection.idle.min", UP_DOWN, "{connection}", _ALIAS, "The pool's `min_size`.")
POOL_PENDING = Metric(
    "db.client.connection.pending_requests",
    UP_DOWN,
    "{request}",
    _ALIAS,
    "Requests that wait for a connection of the pool.",
)
POOL_TIMEOUTS = Metric(
    "db.client.connection.timeouts",
    COUNTER,
    "{timeout}",
    _ALIAS,
    "Requests that got no connection from the pool in time.",
)
POOL_WAIT = Metric(
    "db.client.connection.wait_time",
    HISTOGRAM,
    "s",
    _ALIAS,
    "Time it took to get a connection from the pool.",
)
POOL_LOST = Metric(
    "azpg.pool.connections.lost",
    OBSERVED_COUNTER,
    "{connection}",
    _ALIAS,
    "Connections that the pool found broken.",
)
METRICS = (
    CREATE_TIME,
    ATTEMPTS,
    RETRIES,
    FAILURES,
    REJECTIONS,
    OUTAGES,
    OUTAGE_DURATION,
    OUTAGE_ACTIVE,
    TOKEN_FETCH_DURATION,
    TOKEN_REFUSALS,
    POOL_COUNT,
    POOL_MAX,
    POOL_MIN,
    POOL_PENDING,
    POOL_TIMEOUTS,
    POOL_WAIT,
    POOL_LOST,
)
