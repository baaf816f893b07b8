"""tls: does the server agree on TLS?"""

from __future__ import annotations

import dataclasses
import re

from azpg_backend.diagnosis import handshake
from azpg_backend.diagnosis.bounded import side_by_side
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.handshake import Handshake, HandshakeFailed
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.diagnosis.step import Step, encryption, network, sockets
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan.hosts import Endpoint

# A cipher of these does not encrypt, or can be broken; OpenSSL offers none of them unless it is told to.
_WEAK = re.compile(r"NULL|EXP|RC[24]|\bDES\b|DES-CBC-|MD5|\bA(?:EC)?DH-|anon")
_LOOPBACK_HINT = (
    "If this is your own server on this machine and needs no TLS, set OPTIONS['azpg']['plaintext_on_loopback'] = True. "
    "For TLS set ssl = on in postgresql.conf."
)


def run(context: Context) -> StepResult:
    ca_file = context.ca_file if context.ca_usable else None

    def shake(endpoint: Endpoint) -> Handshake:
        sock = context.sockets[endpoint]
        return handshake.perform(sock, endpoint.host, context.plan.params, ca_file, context.deadline())

    endpoints = list(context.sockets)
    outcomes = side_by_side(shake, endpoints, context.timeout + 1)
    problems: list[Problem] = []
    for endpoint, outcome in zip(endpoints, outcomes, strict=True):
        if isinstance(outcome, Handshake):
            context.handshakes[endpoint] = outcome
        else:
            problems.append(_problem(endpoint, outcome, context.timeout))
    for sock in context.sockets.values():
        sock.close()
    detail = _detail(list(context.handshakes.values()))
    if problems:
        severity = Severity.WARNING if context.handshakes else Severity.ERROR
        return from_problems((dataclasses.replace(each, severity=severity) for each in problems), **detail)
    return passed("tls", "; ".join(dict.fromkeys(map(_in_words, context.handshakes.values()))), **detail)


def is_weak(cipher: str | None) -> bool:
    return bool(_WEAK.search(cipher or ""))


def _problem(endpoint: Endpoint, error: Exception, timeout: float) -> Problem:
    if isinstance(error, TimeoutError):
        error = HandshakeFailed("tls.timeout", f"no TLS within {timeout:g} s")
    if not isinstance(error, HandshakeFailed):
        raise error
    found = error.problem
    hint = found.hint
    if found.code == "tls.not_offered" and endpoint.is_local and "That means" not in hint:
        hint = _LOOPBACK_HINT
    return dataclasses.replace(found, message=f"{endpoint}: {found.message}", hint=hint, where=str(endpoint))


def _in_words(handshake: Handshake) -> str:
    agreed = f"{handshake.protocol}, {handshake.cipher}"
    # docs/round-trips.md says what an operator can do about it.
    return f"{agreed} (HelloRetryRequest: one more round trip)" if handshake.retried else agreed


def _detail(handshakes: list[Handshake]) -> dict[str, str | bool | None]:
    if not handshakes:
        return {"protocol": None, "cipher": None, "group": None, "hello_retry_request": None}
    first = handshakes[0]
    return {
        "protocol": first.protocol,
        "cipher": first.cipher,
        "group": first.group,
        "hello_retry_request": first.retried,
    }


STEP = Step("tls", run, late="tls.timeout", needs=(network, encryption, sockets))
