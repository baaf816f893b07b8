"""What this process knows of each server.

Knowledge belongs to one server (its name, address and port), ends after a while, and is bounded in number.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from azpg_backend.connect.outage import Outage
from azpg_backend.plan.decision import Plan
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.process.memory import Kept

T = TypeVar("T")

# Seconds after which what a server can't do is tried once more: it may have been upgraded, or a proxy removed.
RELEARN_AFTER = 3600.0
# Seconds in which no second thread makes the first direct attempt: they would all wait for an end that stays silent.
FIRST_ATTEMPT = 12.0
# Servers to remember. A process with more of them learns anew of those that it has not used for longest.
_MOST = 1024


class Server:
    """What is known of one server.

    login_seconds: how long its last login took.
    """

    def __init__(self) -> None:
        self.login_seconds = 0.0
        self._direct: bool | None = None
        self._ask_from = 0.0

    @property
    def starts_directly(self) -> bool:
        """Whether its last login started with TLS at once."""
        return bool(self._direct)

    def may_start_directly(self, now: float) -> bool:
        """Whether an attempt that begins now should start with TLS at once; at most one makes the first."""
        if self._direct is None:
            return False
        if self._direct:
            return True
        if now < self._ask_from:
            return False
        self._ask_from = now + FIRST_ATTEMPT
        return True

    def learn_release(self, knows_direct: bool, now: float) -> None:
        """Note whether server and libpq are new enough for direct TLS, unless more is known already."""
        if self._direct is None:
            self._direct, self._ask_from = False, now if knows_direct else now + RELEARN_AFTER

    def started_directly(self) -> None:
        self._direct = True

    def refused_to_start_directly(self, now: float) -> None:
        # One that could a moment ago may only have been down.
        again_after = FIRST_ATTEMPT if self._direct else RELEARN_AFTER
        self._direct, self._ask_from = False, now + again_after


class Role:
    """Whether there is a primary among the servers of a plan.

    is_hearsay: what they say of their role at login may be outdated, because a pooler says it for them.
    """

    def __init__(self) -> None:
        self.is_hearsay = False
        self._was_primary = False
        self._standby_since: float | None = None

    def seen_as_primary(self) -> None:
        self._was_primary, self._standby_since = True, None

    def seen_as_standby_for(self, now: float) -> float:
        """Note that only a standby was found; return for how many seconds, infinite without an earlier primary."""
        if not self._was_primary:
            return float("inf")
        if self._standby_since is None:
            self._standby_since = now
        return now - self._standby_since


class Group:
    """What is known of servers that are alternatives; libpq tries them all, so they are down together or not."""

    def __init__(self) -> None:
        self.outage = Outage()
        self.role = Role()


class _Bounded(Generic[T]):
    """A dict that makes what it lacks, and forgets what was not used for longest."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._items: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: Hashable) -> T:
        with self._lock:
            found = self._items.get(key)
            if found is None:
                found = self._items[key] = self._make()
                if len(self._items) > _MOST:
                    self._items.popitem(last=False)
            else:
                self._items.move_to_end(key)
            return found

    def __len__(self) -> int:
        return len(self._items)


class _Known:
    def __init__(self) -> None:
        self.servers: _Bounded[Server] = _Bounded(Server)
        self.groups: _Bounded[Group] = _Bounded(Group)


_known = Kept(_Known)


def of(endpoint: Endpoint) -> Server:
    """Return what is known of one server."""
    return _known.get().servers[endpoint]


def have_let_in(plan: Plan) -> bool:
    """Whether this process has logged in to one of a plan's servers before."""
    return any(of(each).login_seconds for each in plan.endpoints)


def endpoint_of(plan: Plan, connection: Any) -> Endpoint:
    """Return which of the plan's servers a connection leads to."""
    if len(plan.endpoints) == 1:
        return plan.endpoints[0]
    host, port = connection.info.host, connection.info.port
    same = (each for each in plan.endpoints if each.host == host and each.port == port)
    return next(same, plan.endpoints[0])


def group_of(plan: Plan) -> Group:
    """Return what is known of a plan's servers, as far as the plan asks for the same kind of server."""
    return _known.get().groups[plan.endpoints, plan.params.get("target_session_attrs")]


def role_of(plan: Plan) -> Role:
    """Return whether a plan's servers had a primary."""
    return group_of(plan).role


def outage_of(plan: Plan) -> Outage:
    """Return what is known of an outage of a plan's servers."""
    return group_of(plan).outage
