"""A network for one program alone, where the only names are those that a name server in the tests gives."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

# Run as the namespaces' root: loopback is down in a new network, and port 53 is for privileged accounts.
_SETUP = """
set -e
ip link set lo up
for name in hosts nsswitch.conf resolv.conf; do mount --bind "$1/$name" "/etc/$name"; done
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
shift
exec "$@"
"""
_FILES = {
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
    "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
}


def own_network(folder: Path) -> list[str]:
    """Return the beginning of a command that runs the rest of it in a network of its own, or skip the test.

    folder: an empty one. C libraries ask port 53 of the servers in /etc/resolv.conf and nothing else, hence the
    namespaces: nothing outside them changes, and they are gone with the program.
    """
    if sys.platform != "linux":
        pytest.skip("namespaces are Linux's")
    for name, text in _FILES.items():
        (folder / name).write_text(text)
    root = os.geteuid() == 0
    command = ["unshare", "--mount", "--net", *([] if root else ["--map-root-user"])]
    command += ["sh", "-c", _SETUP, "sh", str(folder)]
    if not root:
        # An ordinary account again, for PostgreSQL refuses to be root.
        command += ["unshare", "--user", f"--map-user={os.geteuid()}"]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        pytest.skip("the program unshare is not installed")
    if tried.returncode:
        pytest.skip(f"no network of its own: {tried.stderr.strip()}")
    return command


class NameServer:
    """Answers every question for an address on 127.0.0.1:53. A context manager.

    address: the answer; None for SERVFAIL, "" for NXDOMAIN. silent: don't answer at all. asked: how many questions
        came.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.silent = False
        self.asked = 0

    def __enter__(self) -> NameServer:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            # Wakes the thread, although a datagram socket has no other end.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            if not question:
                return
            self.asked += 1
            if not self.silent:
                self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        """Build a response (RFC 1035, 4.1): the question again, and the address where an IPv4 one was asked for."""
        # The name ends with the root's empty label; type and class follow. An EDNS record after them is not repeated.
        end = question.index(b"\0", 12) + 5
        if not self.address:
            flags, records = 0x8182 if self.address is None else 0x8183, b""
        elif question[end - 4 : end - 2] == b"\0\1":
            # A name that is a pointer to the question's; type A, class IN, may be kept for 0 s, 4 bytes.
            flags = 0x8180
            records = struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(self.address)
        else:
            flags, records = 0x8180, b""
        header = question[:2] + struct.pack("!HHHHH", flags, 1, bool(records), 0, 0)
        return header + question[12:end] + records
