"""What the steps of one alias know and hand on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.utils import Error

from azpg_backend import trust
from azpg_backend.diagnosis.bounded import Deadline
from azpg_backend.plan.decision import Plan

if TYPE_CHECKING:
    from azpg_backend.base import DatabaseWrapper
    from azpg_backend.diagnosis.ca_files import Roots
    from azpg_backend.diagnosis.handshake import Handshake
    from azpg_backend.plan.hosts import Endpoint


@dataclass
class Context:
    """The state of one alias's diagnosis.

    timeout: seconds for each step. ca_usable: whether libpq could load the CA file.
    addresses, sockets and handshakes are keyed by endpoint and filled by the dns, tcp and tls steps.
    trusted: endpoints whose certificate was accepted. session_error: what failed right after logging in.
    """

    wrapper: DatabaseWrapper
    plan: Plan
    timeout: float
    roots: Roots
    ca_usable: bool = True
    addresses: dict[Endpoint, list[str]] = field(default_factory=dict)
    sockets: dict[Endpoint, socket.socket] = field(default_factory=dict)
    handshakes: dict[Endpoint, Handshake] = field(default_factory=dict)
    trusted: list[Endpoint] = field(default_factory=list)
    session_error: Exception | None = None

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

    def close(self) -> None:
        """Close what the steps left open; a connection that is broken can't be closed any better."""
        for sock in self.sockets.values():
            sock.close()
        with contextlib.suppress(Error):
            self.wrapper.close()


def private_copy(wrapper: DatabaseWrapper, timeout: float) -> DatabaseWrapper:
    """Return a wrapper with the same settings that shares neither pool nor connection with the application.

    Its patience is the check's own: connecting is not retried and gives up after the step's seconds.
    """
    options = {**(wrapper.settings_dict.get("OPTIONS") or {}), "pool": False}
    options.setdefault("connect_timeout", max(2, int(timeout)))
    azpg = options.get("azpg") or {}
    if isinstance(azpg, Mapping):
        options["azpg"] = {**azpg, "connect_retry_seconds": 0}
    clone = type(wrapper)({**wrapper.settings_dict, "CONN_MAX_AGE": 0, "OPTIONS": options}, wrapper.alias)
    clone.inc_thread_sharing()
    return clone
