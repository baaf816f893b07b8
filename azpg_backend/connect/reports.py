"""What connecting meets, told to whoever listens: the log, OpenTelemetry.

Loaded by the first thing that is worth telling, so that a process which has no listener does not pay for it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from typing import Any

from azpg_backend.connect.failure import Failure
from azpg_backend.connect.outage import Outage
from azpg_backend.connect.servers import outage_of
from azpg_backend.plan.decision import Plan
from azpg_backend.telemetry import log, metrics, names
from azpg_backend.telemetry.metrics import Attributes, Figure
from azpg_backend.telemetry.names import Event, Metric


def ended(plan: Plan, found: Any, attempts: int, seconds: float) -> None:
    """Tell of a connect that is over. found: a connection, or a Failure."""
    if not isinstance(found, Failure):
        log.tell(names.OPENED, "%s: connected after %.3f s", plan.alias, seconds, **_keys(plan, attempts, seconds))
        metrics.count(names.ATTEMPTS, of_alias(plan))
        metrics.record(names.CREATE_TIME, seconds, of_alias(plan))
    elif attempts:
        message = "%s: could not connect within %.1f s: %s"
        _failed(names.FAILED, names.FAILURES, message, plan, found, attempts, seconds)
    else:
        message = "%s: did not try to connect, the server has been down for %.1f s: %s"
        down_for = outage_of(plan).seconds(time.monotonic())
        _failed(names.REJECTED, names.REJECTIONS, message, plan, found, attempts, down_for)


def attempt_failed(plan: Plan, failure: Failure) -> None:
    metrics.count(names.ATTEMPTS, _with_reason(of_alias(plan), failure))


def retried(plan: Plan, failure: Failure, pause: float, attempts: int) -> None:
    """Tell of an attempt that failed, and that another one follows after a pause of so many seconds."""
    message = "%s: could not connect, trying again in %.1f s: %s"
    _failed(names.RETRIED, names.RETRIES, message, plan, failure, attempts, pause)


def _failed(
    event: Event, metric: Metric, message: str, plan: Plan, failure: Failure, attempts: int, seconds: float
) -> None:
    problem, keys = failure.problem, _keys(plan, attempts, seconds)
    log.tell(event, message, plan.alias, seconds, problem.message, **keys, error_type=problem.code)
    metrics.count(metric, _with_reason(of_alias(plan), failure))


def outage_began(plan: Plan, outage: Outage, failure: Failure) -> None:
    metrics.watch(outage, functools.partial(_state_of, servers_of(plan)))
    # Without retries somebody looks for himself, as azpg_check does, and is told by the failure.
    if not plan.options.connect_retry_seconds:
        return
    message, code = failure.problem.message, failure.problem.code
    log.tell(names.OUTAGE_BEGAN, "%s: the server is away: %s", plan.alias, message, **_who(plan), error_type=code)
    metrics.count(names.OUTAGES, _with_reason(servers_of(plan), failure))


def outage_ended(plan: Plan, seconds: float) -> None:
    if not plan.options.connect_retry_seconds:
        return
    log.tell(
        names.OUTAGE_ENDED,
        "%s: the server is back after %.1f s",
        plan.alias,
        seconds,
        **_who(plan),
        seconds=round(seconds, 3),
    )
    metrics.record(names.OUTAGE_DURATION, seconds, servers_of(plan))


def token_refused(plan: Plan) -> None:
    log.tell(names.TOKEN_REFUSED, "%s: the server refused the token, asking for a fresh one", plan.alias, **_who(plan))
    metrics.count(names.TOKEN_REFUSALS, of_alias(plan))


def pool_made(plan: Plan, pool: Any) -> None:
    """Let OpenTelemetry ask for a pool's figures while the pool lives."""
    metrics.watch(pool, functools.partial(_figures_of, of_alias(plan)))


def pool_asked(plan: Plan, seconds: float) -> None:
    """Tell how long a request waited for a connection of the pool."""
    if metrics.are_collected():
        metrics.record(names.POOL_WAIT, seconds, of_alias(plan))


def pool_timed_out(plan: Plan, seconds: float, waiting: int) -> None:
    log.tell(
        names.POOL_TIMEOUT,
        "%s: no connection from the pool within %.1f s, and %d other requests wait",
        plan.alias,
        seconds,
        waiting,
        **_who(plan),
        seconds=round(seconds, 3),
        waiting=waiting,
    )
    metrics.count(names.POOL_TIMEOUTS, of_alias(plan))


def _figures_of(alias: Attributes, pool: Any) -> Iterable[Figure]:
    # A pool that is closed, or was made and never opened, would count the connections that it means to have.
    if pool.closed:
        return []
    stats = pool.get_stats()
    # Those that broke in use come back; psycopg_pool counts as lost only what its own check finds.
    lost = stats.get("connections_lost", 0) + stats.get("returns_bad", 0)
    idle = stats.get("pool_available", 0)
    return [
        Figure(names.POOL_COUNT, idle, {**alias, names.STATE: "idle"}),
        Figure(names.POOL_COUNT, stats.get("pool_size", 0) - idle, {**alias, names.STATE: "used"}),
        Figure(names.POOL_MAX, stats.get("pool_max", 0), alias),
        Figure(names.POOL_MIN, stats.get("pool_min", 0), alias),
        Figure(names.POOL_PENDING, stats.get("requests_waiting", 0), alias),
        Figure(names.POOL_LOST, lost, alias),
    ]


def _state_of(server: Attributes, outage: Outage) -> Iterable[Figure]:
    return [Figure(names.OUTAGE_ACTIVE, int(outage.is_known(time.monotonic())), server)]


def servers_of(plan: Plan) -> dict[str, str | int]:
    """Return the attributes of a plan's servers; a service may name them in a file that nobody reads here."""
    system: dict[str, str | int] = {names.SYSTEM: "postgresql"}
    if not plan.endpoints:
        return system
    addresses = ",".join(each.host or each.hostaddr for each in plan.endpoints)
    return {**system, names.ADDRESS: addresses, names.PORT: plan.endpoints[0].port}


def of_alias(plan: Plan) -> dict[str, str | int]:
    """Return the attributes of an alias: those of its servers, and its name."""
    return {**servers_of(plan), names.POOL: plan.alias}


def _with_reason(attributes: Attributes, failure: Failure) -> Attributes:
    return {**attributes, names.ERROR: failure.problem.code}


def _who(plan: Plan) -> dict[str, object]:
    server = ",".join(f"{each.host or each.hostaddr}:{each.port}" for each in plan.endpoints)
    return {"alias": plan.alias, "server": server}


def _keys(plan: Plan, attempts: int, seconds: float) -> dict[str, object]:
    return {**_who(plan), "attempt": attempts, "seconds": round(seconds, 3)}
