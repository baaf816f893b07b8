"""tcp: does the port answer at the addresses found?"""

from __future__ import annotations

import errno
import socket
from contextlib import closing

from azpg_backend.diagnosis.bounded import side_by_side
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, failed, passed, warned
from azpg_backend.plan import hosts
from azpg_backend.plan.hosts import Endpoint

_RESET = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}


def run(context: Context) -> StepResult:
    targets = [(endpoint, address) for endpoint, found in context.addresses.items() for address in found]
    # The limit of each socket is the step's; the second more lets the socket report first.
    outcomes = side_by_side(lambda target: _connect(target, context.timeout), targets, context.timeout + 1)
    reached: list[str] = []
    problems: list[tuple[str, str, str]] = []
    for (endpoint, address), outcome in zip(targets, outcomes, strict=True):
        if isinstance(outcome, Exception):
            problems.append(_explained(endpoint, address, outcome, context.timeout))
        elif endpoint in context.sockets:
            with closing(outcome):
                reached.append(_shown(endpoint, address))
        else:
            context.sockets[endpoint] = outcome
            reached.append(_shown(endpoint, address))
    if not problems:
        return passed("tcp", f"{', '.join(reached)} answers", reached=reached)
    code = problems[0][0]
    message = "; ".join(problem[1] for problem in problems)
    hint = " ".join(dict.fromkeys(problem[2] for problem in problems))
    return (warned if reached else failed)(code, message, hint, reached=reached)


def _connect(target: tuple[Endpoint, str], timeout: float) -> socket.socket:
    endpoint, address = target
    return socket.create_connection((address, endpoint.port), timeout)


def _shown(endpoint: Endpoint, address: str) -> str:
    return f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"


def _explained(endpoint: Endpoint, address: str, error: Exception, timeout: float) -> tuple[str, str, str]:
    where = _shown(endpoint, address)
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, TimeoutError) or number == errno.ETIMEDOUT:
        return (
            "tcp.timeout",
            f"{where} did not answer within {timeout:g} s: packets are dropped on the way",
            "Look at network security groups, outbound firewalls, routes and peering, and whether the private endpoint "
            "is approved. Azure's own firewall rules don't drop packets, so it is not them.",
        )
    if number == errno.ECONNREFUSED:
        return "tcp.refused", f"{where} refused the connection: nothing listens there", _refused_hint(endpoint.port)
    if number in _RESET:
        hint = "Something on the way (a firewall or proxy) cuts the connection, or the server is restarting."
        return "tcp.reset", f"{where} reset the connection", hint
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    hint = "Check this machine's network: VPN, peering, IPv6, a local firewall."
    return "tcp.unreachable", f"{where} can't be reached ({reason})", hint


def _refused_hint(port: int) -> str:
    if port in hosts.PGBOUNCER_PORTS:
        return (
            "PgBouncer is off: set the server parameter pgbouncer.enabled to true (not offered on the Burstable tier), "
            "or use PORT 5432."
        )
    return (
        "The server is stopped or restarting: az postgres flexible-server start; or PORT is wrong "
        "(5432, or 6432 for the built-in PgBouncer)."
    )
