"""A diagnosis for people: one line a step, the chain, and the psql command that does the same."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.management.color import Style

from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult

_WORDS = {Status.PASS: "ok", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.SKIP: "skip"}
_STEP_WIDTH = len("certificate")
_INDENT = " " * (2 + _STEP_WIDTH + 2 + 4 + 2)


def render(database: DatabaseReport, style: Style, width: int) -> str:
    """Return the report of one alias. style: Django's, coloured or not. width: columns; below 60 counts as 60."""
    return "\n".join(_lines(database, style, max(60, width)))


def _lines(database: DatabaseReport, style: Style, width: int) -> Iterator[str]:
    yield style.MIGRATE_HEADING(database.alias) + (f"  {database.host}:{database.port}" if database.host else "")
    yield ""
    for step in database.steps:
        yield from _step_lines(step, style, width)
        if step.step == "certificate":
            yield from _chain_lines(step, style, width)
    yield ""
    yield "  The same with psql (it asks for the password):"
    yield f"  {database.psql}"


def _step_lines(step: StepResult, style: Style, width: int) -> Iterator[str]:
    paint = {
        Status.PASS: style.SUCCESS,
        Status.WARN: style.WARNING,
        Status.FAIL: style.ERROR,
        Status.SKIP: style.NOTICE if step.status is Status.WARN else str,
    }[step.status]
    word = paint(f"{_WORDS[step.status]:<4}")
    troubled = step.status in {Status.WARN, Status.FAIL}
    message = f"{step.code}: {step.message}" if troubled else step.message
    first, *rest = _wrapped(message, width)
    yield f"  {step.step:<{_STEP_WIDTH}}  {word}  {first}"
    for line in rest:
        yield _INDENT + line
    if troubled and step.hint:
        for line in _wrapped(f"-> {step.hint}", width):
            yield _INDENT + line


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
        for line in rest:
            yield f"{_INDENT}|   {line}"
    if chain:
        root = step.detail.get("root")
        top = style.SUCCESS(f"= {root}  (trusted)") if root else style.ERROR(f"? {_name(chain[-1]['issuer'])}")
        yield f"{_INDENT}{top}"


def _name(distinguished: str) -> str:
    for part in distinguished.split(","):
        if part.startswith("CN="):
            return part[3:]
    return distinguished
