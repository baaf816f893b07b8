"""A driver's connection error, explained once: classified by its own words, then masked, then given a reason.

What was found stays with the exception, so that nobody has to read it out of the text again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from django.apps import apps

from azpg_backend.errors import causes, redact
from azpg_backend.errors.problem import Problem

# Between the driver's own words and ours.
SEPARATOR = "\n-> "
_ATTRIBUTE = "azpg_explanation"
_UNREADABLE = Problem(
    "login.failed",
    "the server refused in an encoding that psycopg2 can't read",
    "The server's log has the reason; with lc_messages = 'C' or a UTF-8 locale it becomes readable here.",
)


class Explanation(NamedTuple):
    """What is known of a failed connect.

    words: the driver's or the credential's own text, without secrets.
    problem: what that means on Azure; None if no row of the tables knows it.
    """

    words: str
    problem: Problem | None

    def text(self, alias: str) -> str:
        """Return the words, the reason, and the command that tells more."""
        reason = f"{self.problem.message}. {self.problem.hint}".strip() if self.problem else ""
        return SEPARATOR.join(filter(None, [self.words, reason, _command(alias)]))


def of_driver(error: BaseException, secrets: Iterable[str]) -> Explanation:
    """Explain a driver's exception, or what psycopg2 raises for a message that is not UTF-8."""
    known = getattr(error, _ATTRIBUTE, None) or getattr(error.__cause__, _ATTRIBUTE, None)
    if known is not None:
        return known  # type: ignore[no-any-return]
    text = str(error)
    # Some Python releases turn what psycopg2 can't decode into an empty text instead of a UnicodeDecodeError.
    if isinstance(error, UnicodeDecodeError) or not text:
        return Explanation(_UNREADABLE.message, _UNREADABLE)
    problem = causes.of_login(text)
    return Explanation(redact.without(text, secrets).rstrip("\n"), problem)


def of_token(words: str) -> Explanation:
    """Explain why there is no token; a credential's words are masked where they arise."""
    return Explanation(f"no Microsoft Entra token: {words}", causes.of_token(words))


def of_statement(error: BaseException) -> Explanation | None:
    """Explain a statement that lacks a right, as in migrate; None if nobody knows more than the server says."""
    text = str(error)
    problem = None if SEPARATOR in text else causes.of_statement(text)
    return Explanation(text.rstrip("\n"), problem) if problem else None


def attach(error: Exception, explanation: Explanation, alias: str) -> None:
    """Put an explanation into a driver's exception, which keeps its type."""
    error.args = (explanation.text(alias), *error.args[1:])
    setattr(error, _ATTRIBUTE, explanation)


def secrets_of(settings_dict: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values in an alias's settings that must never be shown, as text.

    Left out is what a mask would only point at: a password that is part of a host's, user's or database's name, or
    that occurs in the words of libpq and the server anyway.
    """
    options = settings_dict.get("OPTIONS")
    options = options if isinstance(options, Mapping) else {}
    public = " ".join(str(settings_dict.get(key)) for key in ("HOST", "USER", "NAME", "PORT")).lower()
    for secret in (settings_dict.get("PASSWORD"), *(options.get(keyword) for keyword in redact.SECRET_KEYWORDS)):
        text = "" if secret is None else str(secret)
        if len(text) >= redact.SHORTEST and text.lower() not in public and not redact.is_common(text):
            yield text


def _command(alias: str) -> str:
    run = f"Run: manage.py azpg_check {alias}"
    return run if apps.is_installed("azpg_backend") else f"Add 'azpg_backend' to INSTALLED_APPS. {run}"
