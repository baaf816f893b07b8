"""The announced changes of roots, intermediates or lifetimes, as listed in announcements.json."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

PACKAGED = str(Path(__file__).with_name("announcements.json"))
VERSION = 1
# Days after which a list deserves a word: Azure announces a change of roots some months ahead.
_OLD = 180
_LARGEST = 4 * 1024 * 1024


class UnreadableList(Exception):
    """A list can't be used. The text says why."""


@dataclass(frozen=True)
class Change:
    """One announced change.

    kind: "switch" (servers get another chain), "store" (a public list drops a root) or "lifetime" (of server
        certificates).
    date: the day from which it can reach a server.
    what: a clause, for messages.
    title: of the page that announced it.
    announced: the date of that page.
    clouds: that it concerns; empty for all.
    replaces: common names, one of which is in the chain of a server that the change has yet to reach; empty for any.
    names: common names of the authorities that come.
    anchors: SHA-256 of roots, any of which verifies the chain that comes.
    chain: what the server will send above its own certificate, lowest first, as far as it is published; it decides
        if it is there.
    until: the day on which the authorities that come end, if their certificates are not in ``chain``.
    root: SHA-256 of the root that is dropped.
    """

    kind: str
    date: datetime.date
    what: str
    title: str
    announced: datetime.date
    clouds: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()
    chain: tuple[x509.Certificate, ...] = ()
    until: datetime.date | None = None
    root: str = ""


@dataclass(frozen=True)
class Announcements:
    """A list of changes.

    as_of: the day on which somebody last looked for news.
    """

    as_of: datetime.date
    changes: tuple[Change, ...]

    def age(self, today: datetime.date) -> str:
        """Return how old the list is, in words."""
        days = max(0, (today - self.as_of).days)
        shown = f"list of {self.as_of}, {days} {'day' if days == 1 else 'days'} old"
        return f"{shown}: look for a newer one" if days > _OLD else shown


def read(path: str = PACKAGED) -> Announcements:
    """Read a list. Raises UnreadableList."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UnreadableList(f"{path} can't be read ({error.strerror})") from None
    if len(data) > _LARGEST:
        raise UnreadableList(f"{path} has more than {_LARGEST} bytes")
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise UnreadableList(f"{path} is of version {document['version']!r}, this package reads {VERSION}")
        changes = sorted(map(_change, document["changes"]), key=lambda each: each.date)
        return Announcements(datetime.date.fromisoformat(document["as_of"]), tuple(changes))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableList(f"{path} is no list of announced changes ({type(error).__name__}: {error})") from None


def _change(row: Mapping[str, Any]) -> Change:
    if row["kind"] not in {"switch", "store", "lifetime"}:
        raise ValueError(f"there is no kind {row['kind']!r}")
    if row["kind"] == "switch" and not (row.get("anchors") or row.get("chain")):
        raise ValueError("a switch needs anchors or a chain")
    return Change(
        kind=row["kind"],
        date=datetime.date.fromisoformat(row["date"]),
        what=str(row["what"]),
        title=str(row["source"]["title"]),
        announced=datetime.date.fromisoformat(row["source"]["date"]),
        clouds=_texts(row, "clouds"),
        replaces=_texts(row, "replaces"),
        names=_texts(row, "names"),
        anchors=tuple(map(_sha256, _texts(row, "anchors"))),
        chain=tuple(x509.load_pem_x509_certificate(each.encode()) for each in _texts(row, "chain")),
        until=datetime.date.fromisoformat(row["until"]) if "until" in row else None,
        root=_sha256(row["root"]) if row["kind"] == "store" else "",
    )


def _sha256(text: str) -> str:
    """Return a fingerprint as this package writes them; openssl and browsers write colons and capitals."""
    plain = text.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", plain):
        raise ValueError(f"{text!r} is no SHA-256")
    return plain


def _texts(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = row.get(key, [])
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ValueError(f"{key} is not a list of texts")
    return tuple(values)
