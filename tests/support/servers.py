"""Servers on loopback that misbehave in one way each, for the diagnosis to name."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Behaviour = Callable[[socket.socket], object]


@contextlib.contextmanager
def listening(behave: Behaviour) -> Iterator[int]:
    """Run a behaviour for every visitor, each in a thread, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener, serving(listener, behave):
        yield listener.getsockname()[1]


@contextlib.contextmanager
def serving(listener: socket.socket, behave: Behaviour) -> Iterator[None]:
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

    threading.Thread(target=accept, daemon=True).start()
    yield
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


def pump(source: socket.socket, target: socket.socket, gate: threading.Event | None = None) -> None:
    """Carry bytes from one connection to another until it ends, while the gate is open."""
    with contextlib.suppress(OSError):
        try:
            while data := source.recv(65536):
                if gate is not None:
                    gate.wait()
                target.sendall(data)
        finally:
            # After a reset too, which would turn into silence.
            target.shutdown(socket.SHUT_WR)


def carry(visitor: socket.socket, port: int, gate: threading.Event | None = None) -> None:
    """Carry a visitor's bytes to a server on this machine and back, until one of them ends."""
    with socket.create_connection(("127.0.0.1", port)) as upstream:
        threading.Thread(target=pump, args=(upstream, visitor, gate), daemon=True).start()
        pump(visitor, upstream, gate)


def replacing(port: int, sent: bytes, shown: bytes) -> Behaviour:
    """Carry a visitor's bytes to a server on this machine and back, with some that the server sends replaced."""

    def behave(visitor: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            threading.Thread(target=pump, args=(visitor, upstream), daemon=True).start()
            held = b""
            while data := upstream.recv(65536):
                held += data
                # The first byte is the answer to the request for TLS; the rest waits until all is there.
                if held == b"S" or sent in held:
                    visitor.sendall(held.replace(sent, shown))
                    held = b""
            visitor.sendall(held)

    return behave


# asm-generic/socket.h; Python has no names for them.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27


def drop_packets(each: socket.socket) -> None:
    """Let a socket drop every packet before TCP sees it (Linux). Raises OSError."""
    # A program for the kernel's packet filter, of one instruction: keep 0 bytes.
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(drop)))


def may_drop_packets() -> bool:
    """Whether this system has such filters, and this account may use them."""
    with socket.socket() as probe:
        try:
            drop_packets(probe)
        except OSError:
            return False
    return sys.platform == "linux"


needs_silence = pytest.mark.skipif(not may_drop_packets(), reason="no socket filter for this system or account")


class Relay:
    """A path to a server on this machine, which can be cut or go silent. A context manager.

    Silence is the kernel's (Linux): the sockets on this side drop every packet before TCP sees it, so that nothing is
    acknowledged, neither data nor a probe nor the start of a connection, and packets sent again get through afterwards.

    target: the port to which new connections lead, as a name does that may move.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._visitors: list[socket.socket] = []
        self._open = threading.Event()
        self._open.set()
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Relay:
        self._serving = serving(self._listener, self._carry)
        self._serving.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.set()
        self._serving.__exit__(None, None, None)
        self._listener.close()

    def _carry(self, visitor: socket.socket) -> None:
        self._visitors.append(visitor)
        carry(visitor, self.target, self._open)

    def cut(self) -> None:
        """Reset every connection, and wait until that has been done."""
        cut, self._visitors = self._visitors, []
        for visitor in cut:
            with contextlib.suppress(OSError):
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # A close() would wait for the thread that reads: this wakes it, and sends nothing.
                visitor.shutdown(socket.SHUT_RD)
        while any(visitor.fileno() != -1 for visitor in cut):
            time.sleep(0.001)

    def storm(self, seconds: float) -> None:
        """Reset every connection again and again, wherever it is: in the handshake, the login or a query."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.cut()
            time.sleep(0.005)

    def silence(self) -> None:
        """Let every packet vanish, from now on."""
        self._open.clear()
        for each in (self._listener, *self._visitors):
            with contextlib.suppress(OSError):
                drop_packets(each)

    def silence_flows(self) -> None:
        """Let every packet of the present connections vanish; new ones work, as after a firewall has forgotten them."""
        silent, self._visitors = self._visitors, []
        for each in silent:
            with contextlib.suppress(OSError):
                drop_packets(each)

    def resume(self) -> None:
        for each in (self._listener, *self._visitors):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        self._open.set()


def closed_port() -> int:
    """Return a port at which nobody listens, and that nobody else gets while this process lives."""
    return int(_bound().getsockname()[1])


@functools.cache
def _bound() -> socket.socket:
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    atexit.register(holder.close)
    return holder


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


def closing(visitor: socket.socket) -> None:
    """Say nothing and hang up."""


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
