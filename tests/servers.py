"""Servers on loopback that misbehave in one way each, for the diagnosis to name."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

Behaviour = Callable[[socket.socket], object]


@contextlib.contextmanager
def listening(behave: Behaviour) -> Iterator[int]:
    """Run a behaviour for every visitor, each in a thread, and yield the port."""
    visitors: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = listener.accept()
                visitors.append(visitor)
                threading.Thread(target=serve, args=(visitor,), daemon=True).start()

    def serve(visitor: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError), visitor:
            behave(visitor)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    for visitor in visitors:
        visitor.close()


@contextlib.contextmanager
def unanswering() -> Iterator[int]:
    """A port whose queue of connections is full: a further one waits for ever, as behind a dropping firewall."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes from one connection to another until it ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request(visitor: socket.socket) -> bytes:
    """Read the client's TLS request."""
    return visitor.recv(8, socket.MSG_WAITALL)


def reset(visitor: socket.socket) -> None:
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.close()


def error_response(message: str, code: str = "53300") -> bytes:
    body = b"".join(part.encode() + b"\0" for part in ("SFATAL", "VFATAL", f"C{code}", f"M{message}")) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def answering(*answers: bytes, then: Behaviour | None = None) -> Behaviour:
    """Answer the TLS request with these bytes, then stay silent, or behave otherwise."""

    def behave(visitor: socket.socket) -> None:
        request(visitor)
        for answer in answers:
            visitor.sendall(answer)
        (then or silent)(visitor)

    return behave


def silent(visitor: socket.socket) -> None:
    while visitor.recv(4096):
        pass


def dripping(data: bytes, pause: float) -> Behaviour:
    def behave(visitor: socket.socket) -> None:
        for byte in data:
            visitor.sendall(bytes([byte]))
            time.sleep(pause)

    return behave


def endless(visitor: socket.socket) -> None:
    """A TLS record that never ends a handshake message: lengths that promise more than any handshake has."""
    record = b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + bytes(0x4000 - 4)
    while True:
        visitor.sendall(record)


class TLSServer:
    """Speaks PostgreSQL's TLS request and then TLS with a given certificate; what follows is a behaviour's."""

    def __init__(self, certificates: str, key: str, then: Behaviour = silent, **options: object) -> None:
        self._then = then
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "server.pem")
            path.write_text(key + certificates)
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if "ciphers" in options:
                self._context.set_ciphers(str(options["ciphers"]))
            self._context.load_cert_chain(path)
        if "maximum" in options:
            with warnings.catch_warnings():
                # Python warns of old TLS, which is the point here.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._context.minimum_version = ssl.TLSVersion.TLSv1
                self._context.maximum_version = options["maximum"]  # type: ignore[assignment]

    def __call__(self, visitor: socket.socket) -> None:
        request(visitor)
        visitor.sendall(b"S")
        with self._context.wrap_socket(visitor, server_side=True) as secured:
            self._then(secured)


def logging_in(answer: bytes) -> Behaviour:
    """After TLS, read the startup packet and answer it."""

    def behave(visitor: socket.socket) -> None:
        visitor.recv(4096)
        visitor.sendall(answer)
        visitor.recv(4096)

    return behave


def logging_in_and_closing(answer: bytes) -> Behaviour:
    """After TLS, read the startup packet, answer it and hang up."""

    def behave(visitor: socket.socket) -> None:
        visitor.recv(4096)
        visitor.sendall(answer)

    return behave
