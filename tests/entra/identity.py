"""A local stand-in for Azure's identity endpoints, asked by the real azure-identity.

It speaks the protocol of App Service and Container Apps (IDENTITY_ENDPOINT, api-version 2019-08-01). Each token that
it gives becomes the password of a PostgreSQL role, until the token's end: the server takes it by the ``password``
method over TLS, as Azure's does, and refuses every other.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from demo_project.localpg import LocalPostgres

HEADER = "secret-of-the-platform"


def unsigned_token(claims: dict[str, Any], size: int = 1800) -> str:
    """Make a token with these claims, of the usual size; nobody here checks its signature."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(json.dumps({"typ": "JWT", "alg": "RS256"}).encode())
    body = part(json.dumps({**claims, "wids": ["x" * max(0, size - 600)]}).encode())
    return f"{head}.{body}.{part(b's' * 256)}"


class IdentityEndpoint:
    """What an identity gets: the claims, how long the token lives, and faults on request.

    lifetime: seconds. fault: behaves instead of answering, where set. asked: the queries so far.
    """

    def __init__(self, server: LocalPostgres, role: str) -> None:
        self.server = server
        self.role = role
        self.lifetime = 3600.0
        self.size = 1800
        self.claims: dict[str, Any] = {"aud": "https://ossrdbms-aad.database.windows.net", "tid": "tenant", "oid": "o"}
        self.fault: Callable[[BaseHTTPRequestHandler], bool] | None = None
        self.asked: list[dict[str, list[str]]] = []
        self.given: list[str] = []
        self._lock = threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        with self._lock:
            self.asked.append(query)
            if handler.headers.get("X-IDENTITY-HEADER") != HEADER:
                reply(handler, 401, {"message": "wrong header"})
                return
            if self.fault is not None and self.fault(handler):
                return
            reply(handler, 200, self.issue(query["resource"][0]))

    def issue(self, resource: str) -> dict[str, Any]:
        end = time.time() + self.lifetime
        token = unsigned_token({**self.claims, "exp": int(end), "jti": uuid.uuid4().hex}, self.size)
        self.given.append(token)
        self.server.sql(f"ALTER ROLE \"{self.role}\" PASSWORD '{token}' VALID UNTIL 'epoch'")
        self.server.sql(f"ALTER ROLE \"{self.role}\" VALID UNTIL '{time.strftime('%F %T+00', time.gmtime(end + 1))}'")
        return {"access_token": token, "expires_on": str(int(end)), "resource": resource, "token_type": "Bearer"}


def reply(handler: BaseHTTPRequestHandler, status: int, document: Any) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@contextlib.contextmanager
def serving(endpoint: IdentityEndpoint) -> Iterator[str]:
    """Serve an endpoint on this machine and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                endpoint.answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/msi/token"
        server.shutdown()
        thread.join()
