"""The chain as a picture: where each part of the SVG stands.

Vertical positions are pixels, horizontal ones pixels or a share of the picture's width, so the picture fills any width
without scaling its text. SVG text does not wrap, so names are split here, and there are two pictures: a wide one with
the bars beside the names, and a narrow one with the bars below them.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest

from demo_project.page.chain import ROOT, UNTRUSTED, Certificate, day

DAY = timedelta(days=1)
# The axis: days from today, and what stands there.
_AXES = (
    (365, "1 year"),
    (3 * 365, "3 years"),
    (10 * 365, "10 years"),
    (30 * 365, "30 years"),
    (100 * 365, "100 years"),
)
# Days for which the axis is about linear; from there on it is logarithmic.
_NEAR = 30
_MOST_LINES = 3
_LINE = 19


@dataclass(frozen=True)
class Shape:
    """One of the two pictures.

    columns: small letters in a line of a name.
    bar_left: where the bars begin, in percent.
    bar_share: how much of the width they take, in percent.
    bar_shift: pixels that the bars are moved to the right.
    beside: whether the bars stand beside the names.
    """

    kind: str
    columns: int
    bar_left: float
    bar_share: float
    bar_shift: int
    beside: bool


WIDE = Shape("wide", 34, 46, 54, 0, True)
NARROW = Shape("narrow", 22, 0, 80, 48, False)


@dataclass(frozen=True)
class Label:
    """Text on the axis. x: percent. anchor: SVG's text-anchor."""

    x: str
    text: str
    anchor: str


@dataclass(frozen=True)
class Row:
    """One certificate. Heights are pixels.

    bar_x, bar_width: percent; None if no bar can be drawn.
    state: "good", "bad" or "open".
    left: words for the time that is left.
    linked: height of the next node; None for the last.
    link: "whole", or "broken" if one of the two ends is bad.
    """

    certificate: Certificate
    node: int
    lines: tuple[tuple[int, str], ...]
    role: int
    dates: int
    rail: int
    bar_x: str | None
    bar_width: str | None
    state: str
    left: str
    linked: int | None
    link: str

    @property
    def root(self) -> bool:
        return self.certificate.role == ROOT

    @property
    def unknown(self) -> bool:
        return self.certificate.role == UNTRUSTED


@dataclass(frozen=True)
class Drawing:
    """A whole picture. spoken: what it shows, in sentences."""

    shape: Shape
    height: int
    labels: tuple[Label, ...]
    rows: tuple[Row, ...]
    spoken: str

    @property
    def kind(self) -> str:
        return self.shape.kind

    @property
    def rail_x(self) -> str:
        return _percent(self.shape.bar_left)

    @property
    def rail_width(self) -> str:
        return _percent(self.shape.bar_share)


def draw(certificates: Sequence[Certificate], shape: Shape, now: datetime) -> Drawing:
    """Return the picture of a path of certificates, the server's first."""
    days, last = _axis(certificates, now)
    axis = _Axis(shape, days)
    top, rows = 34, list[Row]()
    for certificate, above in zip_longest(certificates, certificates[1:]):
        height, row = _row(certificate, above, top, axis, now)
        rows.append(row)
        top += height
    return Drawing(shape, top, tuple(axis.labels(last)), tuple(rows), " ".join(_spoken(certificates, now)))


@dataclass(frozen=True)
class _Axis:
    shape: Shape
    days: int

    def x(self, days: float) -> float:
        """Return where a day stands, in percent of the picture's width."""
        share = math.log1p(max(days, 0) / _NEAR) / math.log1p(self.days / _NEAR)
        return self.shape.bar_left + self.shape.bar_share * min(share, 1)

    def labels(self, last: str) -> Iterator[Label]:
        yield Label(_percent(self.x(0)), "today", "start")
        days, text = (365, "1 year") if self.days > 2 * 365 else (90, "90 days")
        yield Label(_percent(self.x(days)), text, "middle")
        yield Label(_percent(self.x(self.days)), last, "end")


def _axis(certificates: Sequence[Certificate], now: datetime) -> tuple[int, str]:
    longest = max((each.ends - now for each in certificates if each.ends), default=DAY) / DAY
    return next((axis for axis in _AXES if longest <= axis[0]), _AXES[-1])


def _row(certificate: Certificate, above: Certificate | None, top: int, axis: _Axis, now: datetime) -> tuple[int, Row]:
    """Return how high a row is, and the row. above: the next certificate on the way to the root."""
    names = wrapped(certificate.name, axis.shape.columns)
    lines = tuple((top + 33 + _LINE * index, text) for index, text in enumerate(names))
    # Without a date there is no line for it.
    dates = lines[-1][0] + (20 if certificate.ends else 0)
    rail = top + 25 if axis.shape.beside else dates + 12
    height = max(dates, rail + 26) - top + (34 if above else 8)
    state, left = standing(certificate, now)
    x = width = None
    if certificate.ends is not None:
        begin = axis.x((certificate.begins - now) / DAY if certificate.begins else 0)
        x, width = _percent(begin), _percent(max(axis.x((certificate.ends - now) / DAY) - begin, 1.5))
    linked = top + height + 20 if above else None
    bad = state == "bad" or (above is not None and standing(above, now)[0] == "bad")
    return height, Row(
        certificate, top + 20, lines, top + 12, dates, rail, x, width, state, left, linked, "broken" if bad else "whole"
    )


def standing(certificate: Certificate, now: datetime) -> tuple[str, str]:
    """Return how a certificate stands ("good", "bad" or "open"), and the words for it."""
    if certificate.role == UNTRUSTED:
        return "bad", "the CA file does not hold it"
    if certificate.ends is None:
        return ("bad" if certificate.broken else "open"), "validity not known"
    if certificate.ends <= now:
        return "bad", f"expired {day(certificate.ends)}"
    if certificate.begins is not None and certificate.begins > now:
        return "bad", f"not valid before {day(certificate.begins)}"
    return ("bad" if certificate.broken else "good"), f"{_span((certificate.ends - now) / DAY)} left"


def _span(days: float) -> str:
    if days >= 2 * 365:
        return f"about {days / 365.25:.0f} years"
    return "less than a day" if days < 1 else "1 day" if days < 2 else f"{int(days)} days"


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _spoken(certificates: Sequence[Certificate], now: datetime) -> Iterator[str]:
    for number, each in enumerate(certificates, 1):
        until = f", valid until {day(each.ends)}" if each.ends else ""
        broken = "; the chain breaks here" if each.broken else ""
        yield f"{number}. {each.role}: {each.name}{until}, {standing(each, now)[1]}{broken}."


def wrapped(text: str, columns: int) -> list[str]:
    """Split a name into at most three lines of about the same length, after blanks, dots and hyphens if it has some."""
    lines = _filled(text, columns)
    for fewer in range(columns - 1, columns // 2, -1):
        closer = _filled(text, fewer)
        if len(closer) > len(lines):
            break
        lines = closer
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1][: columns - 1] + "\u2026"]
    return lines


def _filled(text: str, columns: int) -> list[str]:
    lines, line = [], ""
    for character in text:
        if _cells(line + character) > columns:
            cut = max(line.rfind(mark) for mark in " .-_") + 1
            # A line that is mostly empty is worse than a word that is split.
            cut = cut if cut > columns // 3 else len(line)
            lines.append(line[:cut].rstrip())
            line = line[cut:]
        line += character
    return [*lines, line]


def _cells(text: str) -> float:
    """Return about how wide a text is, in small letters of a wide font."""
    return sum(map(_cell, text))


def _cell(character: str) -> float:
    if character in "MWmw@%" or unicodedata.east_asian_width(character) in "WF":
        return 2
    return 1.2 if character.isupper() else 1
