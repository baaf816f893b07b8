"""Debian's PostgreSQL servers, which have more extensions than a wheel's."""

from __future__ import annotations

from pathlib import Path


def server_with(extension: str) -> Path | None:
    """Return the folder of the newest server's programs that has an extension, or None."""
    found = [
        each.parent
        for each in Path("/usr/lib/postgresql").glob("*/bin/initdb")
        if Path(f"/usr/share/postgresql/{each.parts[-3]}/extension/{extension}.control").exists()
    ]
    return max(found, key=lambda each: float(each.parent.name), default=None)
