"""A server that takes any live token of an issuer, as Azure does, in front of a real PostgreSQL.

PostgreSQL alone knows one password for a role; here each token that was issued is good until its end.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator

from demo_project.localpg import Chain, LocalPostgres
from tests.support import servers
from tests.support.https import server_context
from tests.support.standins import Issuer

EXPIRED = "The access token has expired. Acquire a new token and retry."
INVALID = "The access token has invalid format. Acquire a new token and retry."


class Gateway:
    """Counts and judges logins. revoked: tokens that are refused though they live."""

    def __init__(self, issuer: Issuer, server: LocalPostgres, chain: Chain) -> None:
        self.issuer = issuer
        self.server = server
        self.context = server_context(chain.server_pem, chain.key_pem)
        self.revoked: set[str] = set()
        self.accepted = 0
        self.refused: list[str] = []
        self.port = 0

    def behave(self, visitor: socket.socket) -> None:
        if visitor.recv(1, socket.MSG_PEEK) == b"\x16":
            # Starting with TLS at once is not known here.
            return
        servers.request(visitor)
        visitor.sendall(b"S")
        with self.context.wrap_socket(visitor, server_side=True) as client:
            (length,) = struct.unpack("!i", read(client, 4))
            startup = read(client, length - 4)
            client.sendall(b"R" + struct.pack("!ii", 8, 3))
            kind, length = struct.unpack("!ci", read(client, 5))
            token = read(client, length - 4).rstrip(b"\0").decode()
            if kind == b"p" and (problem := self.judge(token)):
                self.refused.append(problem)
                client.sendall(servers.error_response(problem, "28P01"))
                return
            self.accepted += 1
            with socket.create_connection(("127.0.0.1", self.server.port)) as backend:
                backend.sendall(struct.pack("!i", len(startup) + 4) + startup)
                relay(client, backend)

    def judge(self, token: str) -> str:
        end = self.issuer.issued.get(token)
        if end is None or token in self.revoked:
            return INVALID
        return EXPIRED if end < time.time() else ""


def read(sock: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def relay(client: ssl.SSLSocket, backend: socket.socket) -> None:
    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=pump, args=(backend, client), daemon=True)
    back.start()
    pump(client, backend)
    back.join(5)


@contextlib.contextmanager
def gateway(issuer: Issuer, server: LocalPostgres, chain: Chain) -> Iterator[Gateway]:
    """Run a gateway to a server whose pg_hba.conf trusts unencrypted connections of this machine."""
    running = Gateway(issuer, server, chain)
    with servers.listening(running.behave) as port:
        running.port = port
        yield running
