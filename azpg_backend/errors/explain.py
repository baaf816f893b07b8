"""A driver's connection error, with the reason and the way to a full diagnosis added to its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps

from azpg_backend.errors import causes, redact

# What stands between the driver's own words and ours.
SEPARATOR = "\n-> "


def add_reason(error: Exception, alias: str, secrets: Iterable[str], pool_failure: str = "") -> None:
    """Append to a driver's exception what its text means on Azure and which command tells more.

    The exception stays the same object, so that type, traceback, cause and the driver's own words are kept; a secret
    that a server sent back in its message is masked. No connection is made to find out more.
    pool_failure: what a pool's own attempt to connect said, which the pool's exception keeps to itself.
    """
    text = str(error)
    if SEPARATOR in text:
        return
    if not text:
        # Some Python releases turn what psycopg2 can't decode into an empty text instead of a UnicodeDecodeError.
        error.args = (unreadable(alias),)
        return
    if pool_failure:
        text = f"{text}; the pool could not log in: {pool_failure}"
    cause = causes.cause_of(text)
    reason = f"{cause.reason}. {cause.hint}" if cause else ""
    parts = [redact.without(text, secrets).rstrip("\n"), *filter(None, [reason]), _command(alias)]
    error.args = (SEPARATOR.join(parts), *error.args[1:])


def driver_text(error: BaseException) -> str:
    """Return an exception's text without what add_reason appended."""
    return str(error).partition(SEPARATOR)[0]


def no_token(reason: str, alias: str) -> str:
    """Return the text for a login that did not begin, because there was no token for it."""
    text = f"no Microsoft Entra token: {reason}"
    cause = causes.cause_of(text)
    meaning = f"{cause.reason}. {cause.hint}" if cause else ""
    return SEPARATOR.join(filter(None, [text, meaning, _command(alias)]))


def unreadable(alias: str) -> str:
    """Return the text for a server's message that is not UTF-8."""
    reason = "the server's log has the reason; with lc_messages = 'C' or a UTF-8 locale it becomes readable here"
    return SEPARATOR.join(["the server refused in an encoding that psycopg2 can't read", reason, _command(alias)])


def secrets_of(settings_dict: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values in an alias's settings that must never be shown.

    Left out is what masking would only point at: a password that is part of the host's, user's or database's name, or
    so short that it occurs in any text.
    """
    options = settings_dict.get("OPTIONS") or {}
    public = " ".join(str(settings_dict.get(key)) for key in ("HOST", "USER", "NAME"))
    for secret in (settings_dict.get("PASSWORD"), *(options.get(keyword) for keyword in redact.SECRET_KEYWORDS)):
        if secret and len(str(secret)) >= 4 and str(secret) not in public:
            yield str(secret)


def _command(alias: str) -> str:
    run = f"Run: manage.py azpg_check {alias}"
    return run if apps.is_installed("azpg_backend") else f"Add 'azpg_backend' to INSTALLED_APPS. {run}"
