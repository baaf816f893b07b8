"""What becomes of a connection with one thing wrong, with this engine and with Django's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connections
from django.db.utils import ConnectionHandler, OperationalError

from demo_project.localpg import Authority

OTHER_HOST = "other.postgres.database.azure.com"


class Attempt(NamedTuple):
    """One try to connect.

    what: what was wrong.
    accepted: whether it connected.
    why: what libpq said, or what the other engine leaves out.
    """

    what: str
    accepted: bool
    why: str


def with_this_engine(folder: Path) -> Iterator[Attempt]:
    """Try what has to be refused. folder: where a file of another root may lie."""
    impostor = folder / "other-root.pem"
    impostor.write_text(Authority.root("Demo Global Root G2").pem, "ascii")
    same_name = "trust a root of the same name but another key"
    yield _attempt(same_name, OPTIONS={"sslrootcert": str(impostor)})
    yield _attempt("trust Azure's roots only, not the demo's", OPTIONS={"sslrootcert": None})
    yield _attempt("put another name in HOST", HOST=OTHER_HOST)


def with_djangos_own() -> Attempt:
    """The contrast: Django's own engine, with the sslmode of Microsoft's samples, talks to anybody."""
    with _changed(
        ENGINE="django.db.backends.postgresql", HOST=OTHER_HOST, OPTIONS={"sslmode": "require", "sslrootcert": None}
    ).cursor() as cursor:
        cursor.execute("SELECT 1")
    what = "put the same wrong name in HOST, with Django's own engine and sslmode=require"
    return Attempt(what, True, "sslmode=require encrypts, but verifies nothing")


def _attempt(what: str, **changes: Any) -> Attempt:
    try:
        with _changed(**changes).cursor():
            return Attempt(what, True, "")
    except OperationalError as error:
        return Attempt(what, False, str(error).splitlines()[0].partition(" failed: ")[2])


def _changed(**changes: Any) -> Any:
    """Return a connection with other settings than the default alias's."""
    settings = connections["default"].settings_dict
    options = {**settings["OPTIONS"], **changes.get("OPTIONS", {})}
    kept = {key: value for key, value in options.items() if value is not None}
    return ConnectionHandler({"default": {**settings, **changes, "OPTIONS": kept}})["default"]
