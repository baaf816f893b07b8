"""What an alias is for: whether it is meant to write, as its settings show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from azpg_backend.plan import hosts, sources, texts
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.plan.sources import Settings

# Values of target_session_attrs with which libpq may end on a server that only reads.
_READERS = frozenset({"any", "standby", "prefer-standby", "read-only"})
# PostgreSQL takes every unambiguous beginning of these words for on, in either case.
_ON = re.compile(r"on|1|t(r(ue?)?)?|y(es?)?", re.IGNORECASE)


def writes(alias: str, settings: Mapping[str, Any], endpoints: tuple[Endpoint, ...], effective: Settings) -> bool:
    """Whether an alias is meant to write. It is unless it says otherwise; its name says nothing."""
    test = texts.settled(settings.get("TEST"))
    mirror = texts.settled(test.get("MIRROR")) if isinstance(test, Mapping) else None
    return not (
        any(_is_reader(each.host) for each in endpoints)
        or sources.value(effective, "target_session_attrs") in _READERS
        or _is_read_only(sources.value(effective, "options"))
        # Django's way to say that an alias is a replica of another.
        or (isinstance(mirror, str) and mirror not in ("", alias))
    )


def _is_reader(host: str) -> bool:
    """Whether this is a virtual endpoint for reading: <base>.reader.<suffix>."""
    cloud = hosts.cloud_of(host)
    return cloud is not None and host.lower().removesuffix(cloud.suffix).endswith(".reader")


def _is_read_only(options: str) -> bool:
    """Whether libpq's options turn default_transaction_read_only on; as in PostgreSQL, the last one counts."""
    if not options:
        return False
    found = False
    for name, value in _assignments(options):
        if name == "default_transaction_read_only":
            found = bool(_ON.fullmatch(value))
    return found


def _assignments(options: str) -> list[tuple[str, str]]:
    """Return the parameters in command-line options: ``-c name=value``, ``-cname=value``, ``--name=value``."""
    try:
        words = shlex.split(options.replace("'", "\\'").replace('"', '\\"'))
    except ValueError:
        words = options.split()
    pairs = []
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word += words.pop(0)
        found = re.fullmatch(r"(?:-c|--)([\w.-]+)=(.*)", word, re.DOTALL)
        if found:
            pairs.append((found[1].lower().replace("-", "_"), found[2]))
    return pairs
