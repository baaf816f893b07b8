"""dns: which addresses do the names in HOST have?"""

from __future__ import annotations

import socket

from django.db.backends.postgresql.psycopg_any import is_psycopg3

from azpg_backend.diagnosis.bounded import side_by_side
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.diagnosis.step import Step, network
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan import hosts
from azpg_backend.plan.hosts import Endpoint

_TEMPORARY = {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY} | {getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)}
_PRIVATE_DNS = (
    "A private server's name exists only in its private DNS zone: link that zone to this network, and let a custom DNS "
    "server forward to 168.63.129.16 (on App Service: WEBSITE_DNS_SERVER=168.63.129.16)."
)


def run(context: Context) -> StepResult:
    endpoints = context.remote
    answers = side_by_side(addresses_of, endpoints, context.timeout)
    lost: list[tuple[Endpoint, Exception]] = []
    found: list[str] = []
    for endpoint, answer in zip(endpoints, answers, strict=True):
        if isinstance(answer, Exception):
            lost.append((endpoint, answer))
        else:
            context.addresses[endpoint] = answer
            found += [address for address in answer if address not in found]
    if lost:
        # One host that can be reached is enough for libpq.
        severity = Severity.WARNING if found else Severity.ERROR
        problems = [_problem(endpoint.host, error, context.timeout, severity) for endpoint, error in lost]
        return from_problems(problems, addresses=found)
    if all(endpoint.hostaddr or hosts.is_ip_address(endpoint.host) for endpoint in endpoints):
        return passed("dns", f"{', '.join(found)} (given in the settings, no name to look up)", addresses=found)
    return passed("dns", ", ".join(found), addresses=found)


def addresses_of(endpoint: Endpoint) -> list[str]:
    """Resolve an endpoint as the driver would: psycopg 3 in Python, psycopg2 in libpq, which leaves a name as it is."""
    if endpoint.hostaddr:
        return [endpoint.hostaddr]
    name = endpoint.host if is_psycopg3 else endpoint.host.encode()
    answers = socket.getaddrinfo(name, endpoint.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _problem(host: str, error: Exception, timeout: float, severity: Severity) -> Problem:
    if isinstance(error, TimeoutError):
        message = f"looking up {host} took longer than {timeout:g} s"
        hint = "Check that this machine can reach its DNS servers (resolv.conf)."
        return Problem("dns.timeout", message, hint, severity, where=host)
    if isinstance(error, socket.gaierror) and error.errno in _TEMPORARY:
        message = f"{host} can't be looked up just now ({error.strerror})"
        hint = "No DNS server answered: check this machine's network and resolv.conf."
        return Problem("dns.temporary_failure", message, hint, severity, where=host)
    reason = error.strerror if isinstance(error, socket.gaierror) else "not a valid host name"
    return Problem(
        "dns.not_found", f"no DNS server knows {host} ({reason})", _not_found_hint(host), severity, where=host
    )


def _not_found_hint(host: str) -> str:
    if "." not in host:
        return f"Write the full name: {host}{hosts.CLOUDS[0].suffix}"
    if hosts.cloud_of(host) is None:
        return "Check the spelling; copy the server's name from the Azure portal."
    return f"Check the spelling and that the server still exists. {_PRIVATE_DNS}"


STEP = Step("dns", run, late="dns.timeout", needs=(network,))
