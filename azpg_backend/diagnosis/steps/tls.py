"""tls: does the server agree on TLS, and on which?"""

from __future__ import annotations

from azpg_backend.diagnosis import handshake
from azpg_backend.diagnosis.bounded import side_by_side
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.handshake import Handshake, HandshakeFailed
from azpg_backend.diagnosis.report import StepResult, failed, passed, warned
from azpg_backend.errors.redact import printable
from azpg_backend.plan.hosts import Endpoint

_HINTS = {
    "tls.not_offered": "This is not Azure's front end, which always has TLS: check HOST and PORT. A server of your "
    "own needs ssl = on (PgBouncer: client_tls_sslmode).",
    "tls.protocol_version": "Remove ssl_max_protocol_version from OPTIONS; if the server is older than TLS 1.2, it is "
    "not Azure's.",
    "tls.handshake_failed": "A device that inspects TLS, or a server with very old ciphers, behaves like this. Let "
    "traffic to the server pass untouched.",
    "tls.closed": "A firewall that inspects TLS, or a server in the middle of a restart, behaves like this. Try again; "
    "if it stays so, let traffic to the server bypass inspection.",
    "tls.timeout": "Something accepts connections and then stays silent: a proxy or load balancer without a server "
    "behind it, or an overloaded server.",
    "tls.not_postgresql": "Another service answers there: check HOST and PORT (5432, or 6432 for PgBouncer), and "
    "whether a proxy is in between.",
}


def run(context: Context) -> StepResult:
    ca_file = context.ca_file if context.ca_usable else None

    def shake(endpoint: Endpoint) -> Handshake:
        sock = context.sockets[endpoint]
        return handshake.perform(sock, endpoint.host, context.plan.params, ca_file, context.deadline())

    endpoints = list(context.sockets)
    outcomes = side_by_side(shake, endpoints, context.timeout + 1)
    problems: list[tuple[str, str]] = []
    for endpoint, outcome in zip(endpoints, outcomes, strict=True):
        if isinstance(outcome, Handshake):
            context.handshakes[endpoint] = outcome
        elif isinstance(outcome, HandshakeFailed):
            problems.append((outcome.code, f"{endpoint}: {printable(outcome.message)}"))
        elif isinstance(outcome, TimeoutError):
            problems.append(("tls.timeout", f"{endpoint}: no TLS within {context.timeout:g} s"))
        else:
            raise outcome
    for sock in context.sockets.values():
        sock.close()
    detail = _detail(list(context.handshakes.values()))
    if not problems:
        return passed("tls", "; ".join(dict.fromkeys(map(_in_words, context.handshakes.values()))), **detail)
    code = problems[0][0]
    message = "; ".join(problem[1] for problem in problems)
    return (warned if context.handshakes else failed)(code, message, _HINTS[code], **detail)


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
