"""The ways to try for one connect, as a list.

What is verified is the same on all of them. A way that follows another is tried only after the failure that it is for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from azpg_backend.connect import roles, servers
from azpg_backend.connect.servers import Server
from azpg_backend.errors import causes
from azpg_backend.errors.explain import Explanation
from azpg_backend.plan import libpq
from azpg_backend.plan.decision import Plan

# PostgreSQL 17, of server and libpq, as both write it: the first with sslnegotiation=direct.
DIRECT_SINCE = 170000
# libpq's, the first that can ask for a primary.
_PRIMARY_SINCE = 140000
# Seconds. An end that takes a TLS hello for the start of a long message never answers it. Such ends are rare (PgBouncer
# and older servers answer at once), slow logins are not, and a login that is given up is made twice.
_SHORTEST_PATIENCE = 10
# The first direct attempt may take so many times as long as the last login before it is given up as unanswered.
_PATIENCE = 3
# What libpq 17 and 18 say if the other end does not know direct TLS, or never answers it.
_NOT_DIRECT = re.compile(
    r"EOF detected|unexpected eof|closed the connection unexpectedly|reset by peer|wrong version number"
    r"|without ALPN|timeout expired"
)
_UNKNOWN_NAME = re.compile(causes.UNKNOWN_NAME)


class After(Enum):
    """Why a way is tried, once an earlier one has failed."""

    NOTHING = "it is the first"
    NOT_DIRECT = "the server did not take TLS at once"
    NO_PRIMARY = "of several servers, those that answered are standbys"
    TOKEN_REFUSED = "the server refused the token"  # noqa: S105 (no token)


class Way(NamedTuple):
    """One way to try.

    after: the failure that it is for.
    params: libpq keywords that it changes.
    fresh_token: whether the token must be newer than the one that was refused.
    settled: whether its success teaches nothing about the server.
    """

    after: After
    params: Mapping[str, Any]
    fresh_token: bool = False
    settled: bool = False

    @property
    def direct(self) -> bool:
        return self.params.get("sslnegotiation") == "direct"


_USUAL = Way(After.NOTHING, {})
_DIRECT_AS_BEFORE = Way(After.NOTHING, {"sslnegotiation": "direct"}, settled=True)
_AFTER_NOT_DIRECT = Way(After.NOT_DIRECT, {})


def ways(plan: Plan, now: float) -> list[Way]:
    """Return the ways to try for a connect that begins now, best first."""
    # Else libpq takes the first of several that answers, for ever a standby if a switchover made it one.
    several = len(plan.endpoints) > 1
    prefers = several and plan.writes and plan.may_choose_role and libpq.version() >= _PRIMARY_SINCE
    usual = Way(After.NOTHING, {"target_session_attrs": "primary"}) if prefers else _USUAL
    found = [usual]
    # Of several servers, libpq would pass over one that can't start directly for the next, which only waits.
    if plan.may_negotiate and not several:
        server = servers.of(plan.endpoints[0])
        if server.may_start_directly(now):
            found = [_DIRECT_AS_BEFORE if server.starts_directly else _first_direct(plan, server), _AFTER_NOT_DIRECT]
    if plan.options.auth == "entra":
        found.append(Way(After.TOKEN_REFUSED, usual.params, fresh_token=True))
    if prefers:
        # A replica without a word that it only reads; and who can't write now may still read.
        found.append(Way(After.NO_PRIMARY, {}))
    return found


def failure_of(way: Way, text: str, explanation: Explanation) -> After | None:
    """Return which kind of failure a way met, or None if no other way can mend it."""
    # A server that goes down fails alike, and then the next way fails too.
    if way.direct and _NOT_DIRECT.search(text):
        return After.NOT_DIRECT
    if "target_session_attrs" in way.params and roles.found_only_standbys(text):
        return After.NO_PRIMARY
    refused = explanation.problem is not None and explanation.problem.code in {
        "login.token_failed",
        "login.wrong_password",
    }
    return After.TOKEN_REFUSED if refused else None


def may_pass(plan: Plan, text: str, explanation: Explanation) -> bool:
    """Whether waiting may help after a failure that looks final.

    There was no server to write to, as during a promotion; or nobody knows a name that has led to a server before, as
    while its entry is replaced or a name server restarts.
    text: the driver's own words.
    """
    # A server that answered beside it may have said what does not pass.
    undecided = explanation.problem is not None and explanation.problem.code == "login.failed"
    unknown = undecided and _UNKNOWN_NAME.search(text) is not None and servers.have_let_in(plan)
    return unknown or roles.is_worth_waiting_for(plan, text)


def learn(plan: Plan, way: Way, connection: Any, seconds: float, now: float) -> None:
    """Note what a connection that was made on this way tells of its server.

    seconds: how long the connect took.
    """
    server = servers.of(servers.endpoint_of(plan, connection))
    server.login_seconds = seconds
    if way.direct:
        server.started_directly()
    elif way.after is After.NOT_DIRECT:
        server.refused_to_start_directly(now)
    elif plan.may_negotiate:
        new_enough = connection.info.server_version >= DIRECT_SINCE and libpq.version() >= DIRECT_SINCE
        server.learn_release(new_enough, now)


def _first_direct(plan: Plan, server: Server) -> Way:
    """Return the way that starts TLS at once, with less patience: the server has yet to show that it answers that."""
    patience = max(_SHORTEST_PATIENCE, round(_PATIENCE * server.login_seconds))
    own = int(plan.params.get("connect_timeout") or patience)
    return Way(After.NOTHING, {"sslnegotiation": "direct", "connect_timeout": min(own, patience)})
