"""The last Plan of each alias, kept as long as nothing has changed that it was decided from.

Deciding takes 0.15 ms, 3 % of a connect, and Django asks for the parameters at every checkout from a pool too. All that
is remembered of the settings is one hash, so that no secret has a second copy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from azpg_backend.plan import libpq
from azpg_backend.plan.decision import decide
from azpg_backend.plan.plan import Plan
from azpg_backend.process.memory import Kept

# Aliases to remember; a process with more of them decides again.
_MOST = 1024
_VARIABLES = (*libpq.ENVIRONMENT.values(), "PGPASSWORD", "PGSERVICEFILE", "PGSYSCONFDIR")
_ENCODED = tuple(map(os.environ.encodekey, _VARIABLES))
# Of other types nobody knows what two equal hashes mean.
_SIMPLE = frozenset({str, bytes, int, float, bool, type(None)})

_plans: Kept[dict[str, tuple[int, Plan]]] = Kept(dict)


class _Unknown(Exception):
    """A value that can't be told from another one by a hash."""


def plan_of(alias: str, settings_dict: Mapping[str, Any]) -> Plan:
    """Return what an alias asks of libpq, with settings and environment as they are now.

    With a connection service the plan is decided each time: its file may have changed.
    """
    fingerprint = _fingerprint(settings_dict)
    plans = _plans.get()
    known = plans.get(alias)
    if known is not None and fingerprint == known[0]:
        return known[1]
    plan = decide(alias, settings_dict)
    if (
        fingerprint is not None
        and not plan.errors
        and not plan.params.get("service")
        and not os.environ.get("PGSERVICE")
    ):
        if len(plans) >= _MOST:
            plans.clear()
        plans[alias] = (fingerprint, plan)
    return plan


def _fingerprint(settings_dict: Mapping[str, Any]) -> int | None:
    """Return a hash of all that a plan is decided from, or None if there is something that can't be hashed."""
    try:
        given = _frozen(settings_dict)
    except _Unknown:
        return None
    asgi = getattr(settings, "ASGI_APPLICATION", None)
    return hash((given, _environment(), str(asgi)))


def _environment() -> tuple[object, ...]:
    """Return the values of the variables.

    os.environ encodes each name and raises for each variable that is not set: a tenth of all that the engine adds to a
    connect. The mapping below it has no public name, so it is only a short cut.
    """
    raw = getattr(os.environ, "_data", None)
    return tuple(map(os.environ.get, _VARIABLES) if raw is None else map(raw.get, _ENCODED))


def _frozen(value: Any, key: object = None) -> object:
    kind = type(value)
    if kind in _SIMPLE:
        # With its type, because True equals 1.
        return kind, value
    if kind is dict:
        return tuple([(name, _frozen(each, name)) for name, each in value.items()])
    if kind in (list, tuple):
        return tuple([_frozen(each) for each in value])
    if key == "credential":
        # The plan refers to it, so that no other object gets its id.
        return id(value)
    raise _Unknown
