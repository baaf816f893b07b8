"""The last Plan of each alias, kept as long as nothing has changed that it was decided from.

Deciding takes 0.15 ms, 3 % of a connect, and Django asks for the parameters at every checkout from a pool too. All that
is remembered of the settings is one hash, so that no secret has a second copy.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Mapping
from typing import Any

from azpg_backend.plan import libpq
from azpg_backend.plan.decision import decide
from azpg_backend.plan.plan import Plan
from azpg_backend.process.memory import Kept

# Aliases to remember; a process with more of them decides again.
_MOST = 1024
_VARIABLES = (*libpq.ENVIRONMENT.values(), "PGPASSWORD", "PGSERVICEFILE", "PGSYSCONFDIR")
_ENCODED = tuple(map(getattr(os.environ, "encodekey", str), _VARIABLES))

_plans: Kept[dict[str, tuple[int, Plan]]] = Kept(dict)


def plan_of(alias: str, settings_dict: Mapping[str, Any]) -> Plan:
    """Return what an alias asks of libpq, with settings and environment as they are now.

    It is decided each time with a connection service, whose file may have changed, and with a value whose changes
    nobody sees, such as a credential that is an object.
    """
    fingerprint = _fingerprint(settings_dict)
    plans = _plans.get()
    known = plans.get(alias)
    if known is not None and fingerprint == known[0]:
        return known[1]
    plan = decide(alias, settings_dict)
    if fingerprint is not None and not plan.errors and not plan.by_service:
        if len(plans) >= _MOST:
            plans.clear()
        plans[alias] = (fingerprint, plan)
    return plan


def _fingerprint(settings_dict: Mapping[str, Any]) -> int | None:
    """Return a hash of all that a plan is decided from, or None if it holds more than plain values.

    Without the settings beside DATABASES: they stay as they are while a process connects.
    """
    decided_from: Any = (settings_dict, _environment())
    try:
        # Version 0 depends on types and values alone, and tells True from 1.
        return hash(marshal.dumps(decided_from, 0))
    except ValueError:
        return None


def _environment() -> tuple[object, ...]:
    """Return the values of the variables.

    os.environ encodes each name and raises for each variable that is not set: a tenth of all that the engine adds to a
    connect. The mapping below it has no public name, so it is only a short cut.
    """
    raw = getattr(os.environ, "_data", None)
    return tuple(map(os.environ.get, _VARIABLES) if raw is None else map(raw.get, _ENCODED))
