"""A problem: the one value for everything that this package reports.

It can be a mistake in the settings, a flaw of a CA file, an objection to a
certificate, the meaning of a driver's error, an outcome of the check.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Severity(IntEnum):
    """How grave a problem is. Django's checks, the check's steps and the engine translate it into their own terms."""

    NOTE = 1
    WARNING = 2
    ERROR = 3


class Place(NamedTuple):
    """A key of one alias, written as a reader would look it up in settings.py."""

    alias: str
    key: str = ""

    def __str__(self) -> str:
        if not self.key:
            return f"DATABASES[{self.alias!r}]"
        name, *below = self.key.split(".")
        # Django's own keys are upper case; everything else stands in OPTIONS.
        path = [name, *below] if name.isupper() else ["OPTIONS", name, *below]
        return f"DATABASES[{self.alias!r}]" + "".join(f"[{part!r}]" for part in path)


class Link(NamedTuple):
    """A certificate of a server's chain.

    depth: 0 for the server's own certificate.
    """

    depth: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or soon will be.

    code: the check's code for it, "<step>.<name>"; errors.codes lists them all.
    message: what is wrong, with the value unless it is secret.
    hint: what to do; "" if there is nothing.
    id: Django's system check for it, such as "azpg.E001"; "" if settings alone can't show it.
    where: the key, file, endpoint or certificate that it was found in; None if there is no such thing.
    transient: whether it may pass by itself, so that trying again is worth while.
    """

    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    id: str = ""
    where: Place | Link | str | None = None
    transient: bool = False

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    @property
    def step(self) -> str:
        return self.code.partition(".")[0]

    def __str__(self) -> str:
        suffix = f"({self.id})" if self.id else ""
        return " ".join(filter(None, [self.message, self.hint, suffix]))


def gravest_first(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems in order of severity, each once; equally grave ones keep their order."""
    return sorted(dict.fromkeys(problems), key=lambda each: -each.severity)


def combine(problems: Iterable[Problem]) -> Problem:
    """Return one problem that says all: code, id and severity of the gravest, every message and every hint once.

    Raises ValueError if there are none.
    """
    ordered = gravest_first(problems)
    if not ordered:
        raise ValueError("no problem to combine")
    first = ordered[0]
    return Problem(
        code=first.code,
        message="; ".join(dict.fromkeys(each.message.removesuffix(".") for each in ordered)),
        hint=" ".join(dict.fromkeys(each.hint for each in ordered if each.hint)),
        severity=first.severity,
        id=first.id,
        where=first.where,
        transient=all(each.transient for each in ordered),
    )
