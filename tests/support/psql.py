"""psql, the client in the local server's tests: no driver's behaviour comes into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Ask = Callable[..., str]

APP_PASSWORD = "it's \\ \" :secret"
DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
DISTRIBUTIONS = {"found": None, **({f"Debian's {DEBIAN.parent.name}": DEBIAN} if DEBIAN else {})}


class Refused(Exception):
    """psql could not connect, or the server refused the statement."""
