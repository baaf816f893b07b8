"""tcp: does the port answer at the addresses found?"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket
from contextlib import closing

from azpg_backend.diagnosis.bounded import side_by_side
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.diagnosis.step import Step, addresses, network
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan import hosts
from azpg_backend.plan.hosts import Endpoint

_RESET = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}


def run(context: Context) -> StepResult:
    targets = [(endpoint, address) for endpoint, found in context.addresses.items() for address in found]
    # The limit of each socket is the step's; the second more lets the socket report first.
    outcomes = side_by_side(lambda target: _connect(target, context.timeout), targets, context.timeout + 1)
    reached: list[str] = []
    lost: list[Problem] = []
    for (endpoint, address), outcome in zip(targets, outcomes, strict=True):
        if isinstance(outcome, Exception):
            lost.append(_problem(endpoint, address, outcome, context.timeout))
        elif endpoint in context.sockets:
            with closing(outcome):
                reached.append(_shown(endpoint, address))
        else:
            context.sockets[endpoint] = outcome
            reached.append(_shown(endpoint, address))
    if not lost:
        return passed("tcp", f"{', '.join(reached)} answers", reached=reached)
    severity = Severity.WARNING if reached else Severity.ERROR
    return from_problems((dataclasses.replace(each, severity=severity) for each in lost), reached=reached)


def _connect(target: tuple[Endpoint, str], timeout: float) -> socket.socket:
    endpoint, address = target
    return socket.create_connection((address, endpoint.port), timeout)


def _shown(endpoint: Endpoint, address: str) -> str:
    return f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"


def _problem(endpoint: Endpoint, address: str, error: Exception, timeout: float) -> Problem:
    where = _shown(endpoint, address)
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, TimeoutError) or number == errno.ETIMEDOUT:
        message = f"{where} did not answer within {timeout:g} s"
        return Problem("tcp.timeout", message, _timeout_hint(address), where=where)
    if number == errno.ECONNREFUSED:
        message = f"{where} refused the connection: nothing listens there"
        return Problem("tcp.refused", message, _refused_hint(endpoint), where=where)
    if number in _RESET:
        hint = "A firewall or proxy on the way cuts the connection, or the server is restarting. Try again in a minute."
        return Problem("tcp.reset", f"{where} reset the connection", hint, where=where)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    hint = "Check this machine's network: VPN, peering, IPv6, a local firewall."
    return Problem("tcp.unreachable", f"{where} can't be reached ({reason})", hint, where=where)


def _timeout_hint(address: str) -> str:
    """Put first what is likeliest: Azure drops the packets of an address that no firewall rule lets in."""
    network = (
        "network security groups, outbound firewalls, routes and peering, and whether the private endpoint is approved"
    )
    if _is_public(address):
        return (
            "The address is public, so first of all a firewall rule is missing: add this machine's address in the "
            "Azure portal under Networking (up to five minutes until it works), or: az postgres flexible-server "
            f"firewall-rule create. Then check that the server is running. Last, look at {network}."
        )
    return f"The address is private, so no firewall rule of the server applies: look at {network}."


def _is_public(address: str) -> bool:
    try:
        return not ipaddress.ip_address(address.partition("%")[0]).is_private
    except ValueError:
        return False


def _refused_hint(endpoint: Endpoint) -> str:
    port = endpoint.port
    if endpoint.is_local:
        return f"Start PostgreSQL on this machine, or correct HOST and PORT: {endpoint} is where the settings lead."
    if port in hosts.CLUSTER_PORTS:
        return (
            f"PORT {port} exists on elastic clusters only (7432: any node, 8432: PgBouncer on any node). If this is "
            "one, it is stopped or restarting; other servers have 5432, and 6432 for the built-in PgBouncer."
        )
    if port in hosts.PGBOUNCER_PORTS:
        return (
            "PgBouncer is off: set the server parameter pgbouncer.enabled to true (not offered on the Burstable tier), "
            "or use PORT 5432."
        )
    return (
        "The server is stopped or restarting: az postgres flexible-server start; or PORT is wrong "
        "(5432, or 6432 for the built-in PgBouncer)."
    )


STEP = Step("tcp", run, late="tcp.timeout", needs=(network, addresses))
