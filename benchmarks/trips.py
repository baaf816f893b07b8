"""Round trips, counted by a path on which each takes 40 ms: what a connect takes longer there than without, over 40 ms.

TCP's own round trip is not among them, because the relay accepts at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from django.db import connections

from azpg_backend.connect import ways
from azpg_backend.process import memory
from benchmarks.table import Table
from demo_project.localpg import LocalPostgres

# Seconds, each way.
DELAY = 0.02


class Relay:
    """Carries bytes to a server and back, each way so many seconds late. delay: 0 for none."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.delay = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
                for source, target in ((client, server), (server, client)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    late: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                    threading.Thread(target=self._receive, args=(source, late), daemon=True).start()
                    threading.Thread(target=self._send, args=(target, late), daemon=True).start()

    def _receive(self, source: socket.socket, late: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            late.put((time.monotonic() + self.delay, data))

    def _send(self, target: socket.socket, late: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = late.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

    @contextlib.contextmanager
    def delaying(self) -> Iterator[None]:
        self.delay = DELAY
        yield
        self.delay = 0.0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def counted(relay: Relay, prepare: Callable[[], object], action: Callable[[], object]) -> int:
    """Return how many round trips an action takes, each time after a preparation that isn't counted."""

    def seconds() -> float:
        taken = []
        for _ in range(5):
            prepare()
            started = time.perf_counter()
            action()
            taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    direct = seconds()
    with relay.delaying():
        late = seconds()
    return round((late - direct) / (2 * DELAY))


def round_trips(server: LocalPostgres, version: str) -> Table:
    """Count those of connects, and of a health check, to one server."""
    table = Table(f"round trips, PostgreSQL {version}")
    relay = Relay(server.port)
    newer = int(version.split(".")[0]) >= ways.DIRECT_SINCE // 10000
    firsts, laters, checks = [], [], []
    for alias in ("ours", "one_root"):
        wrapper = connections[alias]
        kept, wrapper.settings_dict["PORT"] = wrapper.settings_dict["PORT"], relay.port

        def anew(wrapper: object = wrapper) -> None:
            wrapper.close()  # type: ignore[attr-defined]
            memory.forget()

        firsts.append(counted(relay, anew, wrapper.ensure_connection))
        # The next one shows that a direct start works, where it does.
        wrapper.close()
        wrapper.ensure_connection()
        laters.append(counted(relay, wrapper.close, wrapper.ensure_connection))
        checks.append(counted(relay, lambda: None, wrapper.is_usable))
        wrapper.close()
        wrapper.settings_dict["PORT"] = kept
    table.add("first connect", *firsts, "trips")
    table.add("later connects", *laters, "trips", "one fewer" if newer else "")
    table.add("health check of a warm connection", *checks, "trips", "0")
    relay.close()
    return table


# What the driver's OpenSSL is told to offer first, for a process of its own: it reads this once.
_GROUPS = """
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = groups
[groups]
Groups = P-256:X25519:X25519MLKEM768
"""
_CONNECT = """
import sys
from django.conf import settings
settings.configure(DATABASES=eval(sys.argv[1]), USE_TZ=True)
import django; django.setup()
from django.db import connections
from azpg_backend.process import memory
from benchmarks.trips import Relay, counted
relay = Relay(int(sys.argv[2]))
wrapper = connections["default"]
wrapper.settings_dict["PORT"] = relay.port
print(counted(relay, lambda: (wrapper.close(), memory.forget()), wrapper.ensure_connection))
"""


def retried_hello(server: LocalPostgres, databases: dict[str, dict[str, object]], ca_file: str) -> Table:
    """Count a first connect's trips where the driver offers the server's own curve first, and where it doesn't.

    PostgreSQL up to 17 takes one curve (ssl_ecdh_curve, by default prime256v1), and OpenSSL 3.5 offers others.
    """
    table = Table("the first key share that is offered")
    counts = []
    settings = {**databases["default"], "OPTIONS": {"hostaddr": "127.0.0.1", "sslrootcert": ca_file}}
    stock = {**databases["one_root"]}
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "openssl.cnf")
        configuration.write_text(_GROUPS)
        for environ in ({}, {"OPENSSL_CONF": str(configuration)}):
            for each in (settings, stock):
                command = [sys.executable, "-c", _CONNECT, repr({"default": each}), str(server.port)]
                done = subprocess.run(  # noqa: S603 (this interpreter)
                    command, env={**os.environ, **environ}, capture_output=True, text=True, check=True
                )
                counts.append(int(done.stdout))
    table.add("OpenSSL's own (X25519MLKEM768), first connect", counts[0], counts[1], "trips")
    table.add("P-256 by OPENSSL_CONF, first connect", counts[2], counts[3], "trips")
    return table
