"""The root CAs of Azure's list, as pinned in manifest.json."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Source:
    """An official download. format: "PEM" or "DER"."""

    url: str
    format: str


@dataclass(frozen=True)
class Root:
    """A self-signed root.

    name: the subject's common name. sha256: of the DER, in hex; it decides what is trusted. clouds: Azure clouds in
    which PostgreSQL servers are documented to use it. status: "current", "legacy" (still valid), "future" (on Azure's
    list, not yet used for PostgreSQL) or "retired". bundled: shipped in this package and trusted by default.
    used: a sentence on its use by Azure Database for PostgreSQL, for messages; may be empty.
    """

    slug: str
    name: str
    sha256: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    urls: tuple[Source, ...]
    clouds: tuple[str, ...]
    status: str
    bundled: bool
    used: str


@lru_cache(maxsize=1)
def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((_FOLDER / "manifest.json").read_text("utf-8"))
    return manifest


@lru_cache(maxsize=1)
def roots() -> tuple[Root, ...]:
    """Return all known roots, the retired ones too."""
    return tuple(_root(row) for row in _manifest()["roots"])


def _root(row: dict[str, Any]) -> Root:
    values = dict(row)
    for key in ("not_before", "not_after"):
        # Python 3.10 does not read the "Z".
        values[key] = datetime.datetime.fromisoformat(row[key].replace("Z", "+00:00"))
    values["urls"] = tuple(Source(**source) for source in row["urls"])
    values["clouds"] = tuple(row["clouds"])
    return Root(**values)


def bundled() -> tuple[Root, ...]:
    """Return the roots in this package."""
    return tuple(root for root in roots() if root.bundled)


def by_sha256(sha256: str) -> Root | None:
    return next((root for root in roots() if root.sha256 == sha256), None)


def current(cloud: str | None) -> tuple[Root, ...]:
    """Return the roots that servers of a cloud use now; for an unknown cloud, those of the public one.

    China moves from DigiCert Global Root CA to the public cloud's roots since 2026-03-09, so both are in use there.
    """
    in_use = [root for root in roots() if root.bundled and root.status in {"current", "legacy"}]
    return tuple(root for root in in_use if (cloud or "AzureCloud") in root.clouds)


def is_intermediate(name: str) -> bool:
    """Whether this common name is a known issuing or cross-signed CA of Azure, which a server sends in its chain."""
    return name in _manifest()["intermediates"]


def pem_path(root: Root) -> Path:
    return _FOLDER / "roots" / f"{root.slug}.pem"


def pem(root: Root) -> str:
    """Return a bundled root with its header, as it stands in the bundle."""
    return pem_path(root).read_text("ascii")
