"""The state of one alias's check."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from azpg_backend import trust
from azpg_backend.diagnosis.bounded import Deadline, Task
from azpg_backend.errors import explain, redact
from azpg_backend.errors.problem import Problem
from azpg_backend.plan.decision import Plan

if TYPE_CHECKING:
    from azpg_backend.base import DatabaseWrapper
    from azpg_backend.diagnosis.ca_files import Roots
    from azpg_backend.diagnosis.handshake import Handshake
    from azpg_backend.diagnosis.report import StepResult
    from azpg_backend.plan.hosts import Endpoint
    from azpg_backend.trust.announcements import Announcements

# Keys of an alias that say how Django uses the connection.
_DJANGO = ("CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "ATOMIC_REQUESTS", "AUTOCOMMIT", "DISABLE_SERVER_SIDE_CURSORS")
# Seconds for leaving.
CLOSING = 1.0


@dataclass
class Context:
    """The state of one alias's diagnosis.

    application: the application's own wrapper, never connected here.
    wrapper: its copy, through which the check connects.
    timeout: seconds for each step.
    announcements: the changes to look ahead with, or None for no forecast.
    ca_usable: whether libpq could load the CA file.
    addresses: by endpoint, filled by the dns step.
    sockets: by endpoint, filled by the tcp step.
    handshakes: by endpoint, filled by the tls step.
    trusted: endpoints whose certificate was accepted.
    logged_in: whether the login step passed, or failed only for the application's pool.
    session_error: what failed right after logging in.
    pool_problem: why the application can't connect although a connection without its pool works.
    results: of the steps so far, by name.
    query: what last used the connection.
    """

    application: DatabaseWrapper
    wrapper: DatabaseWrapper
    plan: Plan
    timeout: float
    roots: Roots
    announcements: Announcements | None = None
    ca_usable: bool = True
    addresses: dict[Endpoint, list[str]] = field(default_factory=dict)
    sockets: dict[Endpoint, socket.socket] = field(default_factory=dict)
    handshakes: dict[Endpoint, Handshake] = field(default_factory=dict)
    trusted: list[Endpoint] = field(default_factory=list)
    logged_in: bool = False
    session_error: Exception | None = None
    pool_problem: Problem | None = None
    results: Mapping[str, StepResult] = field(default_factory=dict)
    query: Task[StepResult] | None = None

    def deadline(self) -> Deadline:
        return Deadline(self.timeout)

    @property
    def remote(self) -> list[Endpoint]:
        """The endpoints that are reached over TCP."""
        return [endpoint for endpoint in self.plan.endpoints if not endpoint.is_socket]

    @property
    def ca_file(self) -> str:
        """The file libpq would read; with plaintext_on_loopback, the packaged roots."""
        return str(self.plan.params.get("sslrootcert", trust.BUNDLE))

    @property
    def system_roots(self) -> bool:
        """Whether libpq trusts what its own OpenSSL finds, which nobody else can look into."""
        return self.ca_file == "system"

    def shown_settings(self) -> dict[str, str]:
        """Return what the alias asks of Django and libpq, without any secret."""
        given = self.application.settings_dict
        # Of Django's own keys only what can't hold a text.
        plain = {
            key: repr(given.get(key)) for key in _DJANGO if isinstance(given.get(key), (bool, int, float, type(None)))
        }
        secrets = list(explain.secrets_of(given))
        asked = {key: redact.without(str(value), secrets) for key, value in self.plan.params.items()}
        return {**plain, "auth": str(self.plan.options.auth), **asked}

    def sent_pem(self) -> str:
        """Return the certificates that the first server sent, as PEM."""
        chain = next((each.chain for each in self.handshakes.values()), ())
        return "".join(each.public_bytes(serialization.Encoding.PEM).decode("ascii") for each in chain)

    def cut(self) -> None:
        """End the connection at its socket, so that whatever waits for the server there ends as well."""
        connection = self.wrapper.connection
        with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what the steps left open, within a second; what does not close by then is left behind."""
        for sock in self.sockets.values():
            sock.close()
        with contextlib.suppress(Exception):
            Task(self._leave, "azpg-check-close").result(CLOSING)

    def _leave(self) -> None:
        try:
            # Closed under a query, psycopg 3 may bring the whole process down.
            if self.query is None or self.query.ended(CLOSING / 2):
                self.wrapper.close()
        finally:
            self.leave_pool()

    def leave_pool(self) -> None:
        if pool := self.wrapper._connection_pools.pop(self.wrapper.alias, None):
            pool.close(timeout=CLOSING / 2)
