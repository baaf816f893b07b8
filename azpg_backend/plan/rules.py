"""The table of rules: what each of libpq's keywords, of Django's own keys, of the pool's arguments may be."""

from __future__ import annotations

import os
import stat
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from azpg_backend.plan import host_text, texts
from azpg_backend.plan.host_text import Objection, TextRule

Test = Callable[[Any], bool]


@dataclass(frozen=True)
class Rule:
    """What a setting may be.

    fits: whether a value has the right type and is in range.
    words: what the value should be, for "... is 'ten', not <words>".
    remedy: what to do if it does not fit.
    text: a further rule for a value that is text; None if every text is right.
    """

    fits: Test
    words: str
    remedy: str
    text: TextRule | None = None


def _integer(least: int, most: int = 2_147_483_647) -> Test:
    def fits(value: Any) -> bool:
        if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 15:
            value = int(value)
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return fits


def _one_of(*words: str) -> Rule:
    hint = f"Write one of {texts.listed(words)}, in lower case, or remove it."
    return Rule(lambda value: value in words, f"one of {texts.listed(words)}", hint)


def _keepalive(unit: str, most: int) -> Rule:
    # Linux refuses 0 and what is above its limits, and with it every connection.
    return Rule(_integer(1, most), f"a number of {unit} from 1 to {most}", "Write one, or remove it.")


_AUTH_METHODS = ("gss", "md5", "none", "oauth", "password", "scram-sha-256", "sspi")


def _auth_methods(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    items = [item.strip() for item in value.split(",")]
    one_kind = len({item.startswith("!") for item in items}) == 1
    known = all(item.removeprefix("!") in _AUTH_METHODS for item in items)
    return not value or (known and one_kind and len(set(items)) == len(items))


def _number(value: Any) -> bool:
    # A number that is none (nan) is equal to nothing, itself included.
    return isinstance(value, (int, float)) and value == value


def _text(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _isolation_level(value: Any) -> bool:
    # Of the numbers, Django refuses those that it does not know, in words of its own, before it connects.
    return isinstance(value, int) and not isinstance(value, bool)


def _name(value: Any) -> bool:
    return isinstance(value, str)


def _port(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _never_ends(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)) and path != os.devnull


def _path(text: str) -> Objection:
    if texts.is_url(text):
        return "is a URL (not shown: it may hold a password), and libpq reads only files", "Write the path of a file."
    if text.startswith("~"):
        return (
            f"is {texts.shown(text)}, and libpq takes '~' for a folder of that name",
            f"Write os.path.expanduser({texts.shown(text)}) or Path.home() / ... in settings.py.",
        )
    if text.startswith(("$", "%")):
        return f"is {texts.shown(text)}, and libpq replaces no variables", "Write os.path.expandvars(...) around it."
    return None


def _file(text: str) -> Objection:
    """Judge a file that libpq opens without looking what it is."""
    if _never_ends(text):
        return f"is {texts.shown(text)}, a pipe or a device, and libpq could wait for it for ever", "Name a file."
    return _path(text)


def _command_line(text: str) -> Objection:
    if text.startswith("-"):
        return None
    return f"is {texts.shown(text)}, which has no option in it", 'Write "-c name=value" for each parameter.'


def _zone(name: Any) -> bool:
    try:
        return isinstance(name, str) and zoneinfo.ZoneInfo(name) is not None
    except Exception:  # noqa: BLE001 (a name that is none raises four kinds of errors)
        return False


PLAIN_TEXT = Rule(_text, "text", "Write text in quotes.")
SECONDS = Rule(_integer(-2_147_483_648), "a whole number of seconds", "Write a whole number, such as 10.")
FLAG = Rule(_integer(-2_147_483_648), "0 or 1", "Write 0 or 1; libpq knows no other words for off and on.")
PATH = Rule(_name, "the path of a file", "Write the path of a file.", _file)
NAMES = "Write the server's full name as text; several are joined with commas."

# libpq's keywords. Those that are not here are text of any kind.
LIBPQ: Mapping[str, Rule] = {
    "host": Rule(_name, "the name of a server", NAMES, host_text.host),
    "hostaddr": Rule(_name, "an IP address", "Write an IP address as text.", host_text.address),
    "port": Rule(_port, "a port number", "Write one number, such as 5432.", host_text.port),
    "user": Rule(_text, "the name of a role", "Write the name as text.", host_text.option_user),
    "dbname": Rule(_name, "the name of a database", "Write the name as text.", host_text.database),
    "options": Rule(_name, "text", 'Write text, such as "-c statement_timeout=30000".', _command_line),
    "connect_timeout": SECONDS,
    "keepalives": FLAG,
    "keepalives_idle": _keepalive("seconds", 32_767),
    "keepalives_interval": _keepalive("seconds", 32_767),
    "keepalives_count": _keepalive("probes", 127),
    "tcp_user_timeout": Rule(
        _integer(-2_147_483_648), "a whole number of milliseconds", "Write a whole number, such as 18000."
    ),
    "sslsni": FLAG,
    "sslcompression": FLAG,
    "sslcert": PATH,
    "sslkey": PATH,
    "sslcrl": PATH,
    "sslcrldir": PATH,
    "passfile": Rule(_name, PATH.words, PATH.remedy, _path),
    "sslrootcert": Rule(_name, "the path of a file", "Remove it to use the roots in this package.", _file),
    "sslcertmode": _one_of("disable", "allow", "require"),
    "sslnegotiation": _one_of("postgres", "direct"),
    "require_auth": Rule(
        _auth_methods,
        f"a list of {texts.listed(_AUTH_METHODS)}",
        "Write one of them, or several with commas; '!' before each one excludes them.",
    ),
    "channel_binding": _one_of("disable", "prefer", "require"),
    "target_session_attrs": _one_of("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": _one_of("disable", "random"),
}

AGE = Rule(
    lambda value: value is None or _number(value),
    "a number of seconds or None",
    "Write a number without quotes, such as 600, or None to keep connections for good; from the environment: "
    "int(os.environ[...]).",
)
BOOLEAN = Rule(
    lambda value: value is None or isinstance(value, int), "True or False", "Write True or False, without quotes."
)

# Django's own keys, but for those that libpq gets.
DJANGO: Mapping[str, Rule] = {
    "CONN_MAX_AGE": AGE,
    "CONN_HEALTH_CHECKS": BOOLEAN,
    "ATOMIC_REQUESTS": BOOLEAN,
    "AUTOCOMMIT": BOOLEAN,
    "DISABLE_SERVER_SIDE_CURSORS": BOOLEAN,
    "TIME_ZONE": Rule(
        lambda value: value is None or _zone(value), "the name of a time zone or None", "Write a name such as 'UTC'."
    ),
    "OPTIONS": Rule(texts.is_mapping, "a dict", "Write a dict, or leave it out."),
    "TEST": Rule(texts.is_mapping, "a dict", "Write a dict, or leave it out."),
}
_FACTORY = Rule(
    lambda value: value is None or callable(value), "a class", "Import the class, and give it instead of its name."
)

# Django's and the drivers' own keys in OPTIONS, but for the pool.
OPTIONS: Mapping[str, Rule] = {
    "assume_role": Rule(lambda value: value is None or _name(value), "the name of a role", "Write text."),
    "isolation_level": Rule(
        _isolation_level,
        "an isolation level",
        "Write django.db.backends.postgresql.psycopg_any.IsolationLevel.SERIALIZABLE, or another of its members.",
    ),
    "prepare_threshold": Rule(
        lambda value: value is None or _size(0).fits(value), "a whole number or None", "Write a whole number, or None."
    ),
    "server_side_binding": BOOLEAN,
    "connection_factory": _FACTORY,
    "cursor_factory": _FACTORY,
}
# Keys of DATABASES[alias]["TEST"].
TEST: Mapping[str, Rule] = {
    "NAME": Rule(
        lambda value: value is None or _name(value), "the name of a database", "Write text.", host_text.database
    ),
    "MIRROR": Rule(lambda value: value is None or _name(value), "an alias of DATABASES", "Write text."),
    "DEPENDENCIES": Rule(
        lambda value: value is None or isinstance(value, (list, tuple, set)), "a list of aliases", "Write a list."
    ),
    "MIGRATE": BOOLEAN,
    "SERIALIZE": BOOLEAN,
}

WAIT = Rule(lambda value: _number(value) and value >= 0, "a number of seconds", "Write a number without quotes.")
# psycopg_pool hands these to a lock, which takes no more than the system's clock can count.
_LONGEST_WAIT = 1_000_000_000
BOUNDED_WAIT = Rule(
    lambda value: WAIT.fits(value) and value <= _LONGEST_WAIT,
    f"a number of seconds up to {_LONGEST_WAIT}",
    "Write a number without quotes, such as 30.",
)


def _size(least: int) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return Rule(fits, f"a whole number from {least}", "Write a whole number without quotes.")


def _or_none(rule: Rule) -> Rule:
    return Rule(lambda value: value is None or rule.fits(value), f"{rule.words} or None", rule.remedy)


_CALLABLE = _or_none(Rule(callable, "a function", "Give the function itself, not its name."))

# psycopg_pool.ConnectionPool's arguments, as keys of OPTIONS["pool"].
POOL: Mapping[str, Rule] = {
    "min_size": _size(0),
    "max_size": _or_none(_size(1)),
    "num_workers": _size(1),
    "max_waiting": _size(0),
    "timeout": BOUNDED_WAIT,
    "max_lifetime": WAIT,
    "max_idle": BOUNDED_WAIT,
    "reconnect_timeout": WAIT,
    "name": _or_none(Rule(_name, "text", "Write text.")),
    "check": _CALLABLE,
    "reset": _CALLABLE,
    "reconnect_failed": _CALLABLE,
    "close_returns": BOOLEAN,
    "connection_class": Rule(lambda value: isinstance(value, type), "a class", "Give the class itself."),
}
# Arguments that Django gives to the pool itself, and one by which another set of parameters would come in.
POOL_TAKEN = {
    "kwargs": "Write libpq's keywords as keys of OPTIONS.",
    "conninfo": "Write libpq's keywords as keys of OPTIONS.",
    "configure": "Connect to django.db.backends.signals.connection_created instead.",
    "open": "Remove it: the pool opens with the first connection.",
}
