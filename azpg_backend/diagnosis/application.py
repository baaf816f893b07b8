"""The application's own way to connect, walked beside the application: same settings, but no shared connection or pool.

What is tested has to be what the application uses, or "passes" would not mean that the application connects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azpg_backend.errors.problem import Problem
from azpg_backend.plan.decision import Plan
from azpg_backend.plan.libpq import connect_timeout_of

if TYPE_CHECKING:
    from azpg_backend.base import DatabaseWrapper

# libpq takes whole seconds, and before release 17 at least two.
_SHORTEST = 2


def copy_of(
    wrapper: DatabaseWrapper, plan: Plan, timeout: float, *, pooled: bool = True, retry_seconds: float = 0
) -> DatabaseWrapper:
    """Return a wrapper with the same settings that shares neither pool nor connection with the application.

    Only its patience differs: it gives up after the step's seconds if the application would not have done so by then.
    pooled: False for a connection without the pool that the settings ask for.
    retry_seconds: connect_retry_seconds; with 0 it also connects where the server is known to be down.
    """
    options = dict(_options(wrapper))
    own = connect_timeout_of(plan.params)
    options["connect_timeout"] = max(_SHORTEST, min(own or int(timeout), int(timeout)))
    azpg = options.get("azpg") or {}
    if isinstance(azpg, Mapping):
        options["azpg"] = {**azpg, "connect_retry_seconds": retry_seconds}
    if not pooled:
        options["pool"] = False
    elif pool := options.get("pool"):
        options["pool"] = _of_one(pool, timeout)
    return _apart(wrapper, {**wrapper.settings_dict, "OPTIONS": options})


def _of_one(pool: Any, timeout: float) -> Any:
    """Return the options of a pool with a single connection; what can't be an option stays, for Django to refuse."""
    if pool is not True and not isinstance(pool, Mapping):
        return pool
    options = {} if pool is True else dict(pool)
    own = options.get("timeout", timeout)
    if isinstance(own, (int, float)):
        # Half of the step's time: if the pool tells nothing, a connection without it may.
        options["timeout"] = min(own, timeout / 2)
    return {**options, "min_size": 1, "max_size": 1}


def own_pool_timeout(wrapper: DatabaseWrapper, timeout: float) -> float | None:
    """Return for how many seconds a request of the application waits for its pool; None if a step's half is shorter."""
    pool = _options(wrapper).get("pool")
    own = pool.get("timeout") if isinstance(pool, Mapping) else None
    return float(own) if isinstance(own, (int, float)) and own < timeout / 2 else None


def judge_pool(wrapper: DatabaseWrapper) -> None:
    """Make the pool that the settings describe, and do not open it.

    Raises what the application would meet.
    """
    if _options(wrapper).get("pool"):
        _apart(wrapper, wrapper.settings_dict).pool  # noqa: B018 (made when it is asked for)


def exhausted(wrapper: DatabaseWrapper) -> Problem | None:
    """Return a problem if every connection of the application's pool in this process is in use."""
    pool = wrapper._connection_pools.get(wrapper.alias)
    if pool is None or pool.closed or wrapper.connection is not None:
        return None
    figures = pool.get_stats()
    size, free = figures.get("pool_size", 0), figures.get("pool_available", 0)
    if free or size < pool.max_size:
        return None
    return Problem(
        "login.too_many_connections",
        f"the server lets the application in, but all {size} connections of this process's pool are in use (max_size "
        f"{pool.max_size}) and {figures.get('requests_waiting', 0)} requests wait for one",
        "Raise max_size in OPTIONS['pool'], run fewer threads, or look for code that keeps a connection for long (a "
        "slow view, a thread that never closes its connection).",
    )


def _options(wrapper: DatabaseWrapper) -> Mapping[str, Any]:
    options = wrapper.settings_dict.get("OPTIONS")
    return options if isinstance(options, Mapping) else {}


def _apart(wrapper: DatabaseWrapper, settings: Mapping[str, Any]) -> DatabaseWrapper:
    """Return a new wrapper whose class, of which a pool makes more, has no pool in common with the application's."""
    # Django keeps the pools of all aliases in a dict of the class.
    kind = type(type(wrapper).__name__, (type(wrapper),), {"_connection_pools": {}})
    made: DatabaseWrapper = kind(settings, wrapper.alias)
    made.inc_thread_sharing()
    return made
