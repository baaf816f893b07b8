"""Is the server in recovery? An alias that writes does not stay on a standby, which a switchover may make of a primary.

PostgreSQL 14 and newer report ``in_hot_standby`` with every login and whenever it changes, so that libpq knows it
without a round trip (PostgreSQL, "Parameters Reported"). Of an older server nothing is known until a write fails.
PgBouncer repeats what its own first login was told, so that a standby is asked whether it still is one.
"""

from __future__ import annotations

import re
from typing import Any

from azpg_backend.connect import health, servers
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem
from azpg_backend.plan.decision import Plan

# SQLSTATE read_only_sql_transaction.
READ_ONLY = "25006"
# What libpq says of a server that is not the kind that target_session_attrs asks for.
_ONLY_STANDBYS = re.compile(r"session is read-only|server is in hot standby mode")
STILL_A_STANDBY = Explanation(
    "the server is a standby",
    Problem(
        "session.read_only",
        "this process has known it as a primary, so a failover or switchover is under way",
        "Try again shortly: the name leads to the new primary within about 30 seconds.",
        transient=True,
    ),
)


def claims_recovery(connection: Any) -> bool:
    """Whether a connection's server has said that it is in recovery; costs nothing."""
    return not connection.closed and bool(connection.info.parameter_status("in_hot_standby") == "on")


def in_recovery(plan: Plan, connection: Any) -> bool:
    """Whether a connection of an alias that writes leads to a server in recovery; one that says so is asked again."""
    if not plan.writes or not claims_recovery(connection):
        return False
    role = servers.role_of(plan)
    if role.is_hearsay:
        return False
    try:
        found = bool(health.ask(connection, "SELECT pg_is_in_recovery()"))
    except Exception:  # noqa: BLE001 (a driver's, of a connection that ends or is in a transaction: not worth keeping)
        return True
    # A server that has just been promoted has said so with its answer.
    role.is_hearsay = not found and claims_recovery(connection)
    return found


def is_worth_waiting(plan: Plan, role: servers.Role, connection: Any, now: float) -> bool:
    """Whether a new connection of an alias that writes leads to a standby, while there was a primary a moment ago.

    An alias may also be meant for a replica without saying so: it never sees a primary, and never waits.
    """
    if not plan.writes or not plan.endpoints:
        return False
    if not in_recovery(plan, connection):
        role.seen_as_primary()
        return False
    return role.seen_as_standby_for(now) < plan.options.connect_retry_seconds


def is_worth_waiting_for(plan: Plan, text: str) -> bool:
    """Whether a failed attempt found servers, but none to write to, as during a promotion.

    text: the driver's own words.
    """
    return plan.writes and found_only_standbys(text)


def found_only_standbys(text: str) -> bool:
    """Whether the driver's words say that a server answered that is not the kind that was asked for."""
    return _ONLY_STANDBYS.search(text) is not None


def sqlstate_of(error: BaseException | None) -> str:
    """Return the SQLSTATE of a driver's error, or ""."""
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")
