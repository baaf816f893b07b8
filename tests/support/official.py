"""The authorities' official download sites, on this machine.

The real URLs are asked for, through a local CONNECT proxy that leads every name to a local HTTPS server whose
certificate a test authority vouches for. So requests, its proxy handling and its TLS are the real ones.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support import servers
from tests.support.https import certified

SITES = ("cacerts.digicert.com", "www.microsoft.com", "elsewhere.example.org")

Answer = Callable[[BaseHTTPRequestHandler], None]


class Official:
    """What the sites serve: by default, at each URL of the manifest, the root itself. ``answers`` replaces that."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.everything: Answer | None = None
        self.asked: list[str] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        from azpg_backend.trust import manifest

        url = f"https://{handler.headers['Host']}{handler.path}"
        self.asked.append(url)
        if special := self.answers.get(url, self.everything):
            special(handler)
            return
        for root in manifest.bundled():
            for source in root.urls:
                if source.url == url:
                    pem = manifest.pem(root)
                    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") :].strip())
                    send(handler, pem.encode() if source.format == "PEM" else der)
                    return
        send(handler, b"not here", 404)


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def sending(body: bytes, status: int = 200, **headers: str) -> Answer:
    return lambda handler: send(handler, body, status, **headers)


class _Handler(BaseHTTPRequestHandler):
    official: Official

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            self.official.answer(self)

    def log_message(self, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """A client that hangs up, or does not trust the certificate, is what some tests are about."""


@contextlib.contextmanager
def https_server(official: Official, context: ssl.SSLContext) -> Iterator[int]:
    handler = type("Handler", (_Handler,), {"official": official})
    with _Server(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def connect_proxy(port: int) -> Iterator[int]:
    """An HTTP proxy for https, which leads to the same port of this machine whatever name is asked for."""

    def behave(visitor: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += visitor.recv(4096)
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            visitor.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            thread = threading.Thread(target=servers.pump, args=(visitor, upstream), daemon=True)
            thread.start()
            servers.pump(upstream, visitor)

    with servers.listening(behave) as proxy:
        yield proxy


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[Official, dict[str, str]]]:
    """Run the sites, and yield them with the environment of a machine behind a proxy that leads to them.

    folder: for the file of the root that vouches for the sites.
    """
    context, root_pem = certified(*SITES)
    bundle = folder / "proxy-ca.pem"
    bundle.write_text(root_pem)
    sites = Official()
    with https_server(sites, context) as port, connect_proxy(port) as proxy:
        yield sites, {"HTTPS_PROXY": f"http://someone:sentinel@127.0.0.1:{proxy}", "REQUESTS_CA_BUNDLE": str(bundle)}
