"""A report for people."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.core.management.color import Style

from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult
from azpg_backend.errors.redact import printable

# Milliseconds from which a step's duration is worth a reader's time.
_SLOW_MS = 1000.0
_WORDS = {Status.PASS: "ok", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.SKIP: "skip"}
# What psql needs, by the way in which the alias logs in.
_PASSWORDS = {
    "password": "it asks for the password",
    "entra": "its password is a Microsoft Entra token; manage.py dbshell gets one",
}
INTERRUPTED = "Interrupted: the steps marked 'not reached' were not looked at."
_STEP_WIDTH = len("certificate")
_INDENT = " " * (2 + _STEP_WIDTH + 2 + 4 + 2)


def render(database: DatabaseReport, style: Style, width: int, *, every_duration: bool = False) -> str:
    """Return the report of one alias.

    style: Django's, coloured or not.
    width: columns; below 60 counts as 60.
    every_duration: show how long each step took, not only the slow ones.
    """
    return "\n".join(_lines(database, style, max(60, width), 0.0 if every_duration else _SLOW_MS))


def line(database: DatabaseReport, style: Style) -> str:
    """Return the report of one alias as a single line."""
    worst = database.worst
    troubled = worst.status in {Status.WARN, Status.FAIL}
    word = _WORDS[worst.status] if troubled else _WORDS[Status.PASS]
    paint = _painters(style)[worst.status if troubled else Status.PASS]
    rest = f"  {worst.code}: {worst.message}" if troubled else ""
    return f"{printable(database.alias)}  {paint(word)}  {_seconds(database.duration_ms)}{_outlook(database)}{rest}"


def _outlook(database: DatabaseReport) -> str:
    """Return the forecast in few words, if there is one."""
    found = (step.detail["forecast"]["when"] for step in database.steps if "forecast" in step.detail)
    return "".join(f"  {when}" for when in found)


def summary(databases: Sequence[DatabaseReport], seconds: float, style: Style) -> str:
    """Return one line on all aliases: how many passed, and which did not."""
    failed = [each.alias for each in databases if not each.ok]
    warned = [each.alias for each in databases if each.ok and each.reaches(Status.WARN)]
    parts = [style.SUCCESS(f"{len(databases) - len(failed) - len(warned)} ok")]
    if warned:
        parts.append(style.WARNING(f"{len(warned)} with warnings ({printable(', '.join(warned))})"))
    if failed:
        parts.append(style.ERROR(f"{len(failed)} failed ({printable(', '.join(failed))})"))
    return f"{len(databases)} aliases in {_seconds(seconds * 1000)}: {', '.join(parts)}"


def whole(outcome: Outcome, style: Style, width: int) -> str:
    """Return the report of all aliases, as it is printed line by line otherwise."""
    parts = [render(each, style, width) + "\n" for each in outcome.reports]
    if len(outcome.reports) > 1:
        parts.append(summary(outcome.reports, outcome.seconds, style))
    if outcome.interrupted:
        parts.append(INTERRUPTED)
    return "\n".join(parts)


def for_terminal(text: str) -> str:
    """Return a text that is copied, not read, with escapes for what would move or colour the terminal."""
    plain = (each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
    return "".join(plain)


def _lines(database: DatabaseReport, style: Style, width: int, slow: float) -> Iterator[str]:
    where = f"  {printable(database.host)}:{database.port}" if database.host else ""
    yield style.MIGRATE_HEADING(printable(database.alias)) + f"{where}  ({_seconds(database.duration_ms)})"
    yield ""
    for step in database.steps:
        yield from _step_lines(step, style, width, slow)
        if step.step == "certificate":
            yield from _chain_lines(step, style, width)
            if coming := step.detail.get("forecast"):
                yield from (_INDENT + more for more in _wrapped(f"forecast: {coming['text']}", width))
    if database.psql:
        yield ""
        yield f"  The same with psql ({_PASSWORDS[database.settings.get('auth', 'password')]}):"
        yield f"  {for_terminal(database.psql)}"


def _painters(style: Style) -> Mapping[Status, Callable[[str], str]]:
    return {Status.PASS: style.SUCCESS, Status.WARN: style.WARNING, Status.FAIL: style.ERROR, Status.SKIP: str}


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def _step_lines(step: StepResult, style: Style, width: int, slow: float) -> Iterator[str]:
    word = _painters(style)[step.status](f"{_WORDS[step.status]:<4}")
    troubled = step.status in {Status.WARN, Status.FAIL}
    message = f"{step.code}: {step.message}" if troubled else step.message
    if step.status is not Status.SKIP and step.duration_ms >= slow:
        message += f" ({_seconds(step.duration_ms)})"
    first, *rest = _wrapped(message, width)
    yield f"  {step.step:<{_STEP_WIDTH}}  {word}  {first}"
    for more in rest:
        yield _INDENT + more
    if troubled and step.hint:
        for more in _wrapped(f"-> {step.hint} See {address_of(step.code)}", width):
            yield _INDENT + more


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width - len(_INDENT), break_long_words=False, break_on_hyphens=False) or [""]


def _chain_lines(step: StepResult, style: Style, width: int) -> Iterator[str]:
    """Draw the chain from the server's certificate upwards, with a mark where it breaks."""
    chain: list[Mapping[str, Any]] = step.detail.get("chain", [])
    broken_at = step.detail.get("broken_at")
    for depth, certificate in enumerate(chain):
        mark = style.ERROR("x") if depth == broken_at else "|"
        first, *rest = _wrapped(f"{_name(certificate['subject'])}  (until {certificate['not_after'][:10]})", width - 2)
        yield f"{_INDENT}{mark} {first}"
        for more in rest:
            yield f"{_INDENT}|   {more}"
    if chain:
        root = step.detail.get("root")
        top = style.SUCCESS(f"= {root}  (trusted)") if root else style.ERROR(f"? {_name(chain[-1]['issuer'])}")
        yield f"{_INDENT}{top}"


def _name(distinguished: str) -> str:
    for part in distinguished.split(","):
        if part.startswith("CN="):
            return part[3:]
    return distinguished
