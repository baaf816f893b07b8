"""A real PgBouncer over TLS in transaction mode, as Azure's built-in one is, that can be stopped and started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from demo_project.localpg import LocalPostgres
from demo_project.localpg.server import account, free_port
from tests.support.settings import PASSWORD

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

# Seconds, on a machine that is busy.
START_TIMEOUT = 60

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
client_tls_sslmode = require
client_tls_key_file = {folder}/server.key
client_tls_cert_file = {folder}/server.pem
server_tls_sslmode = verify-ca
server_tls_ca_file = {folder}/root.pem
"""


class PgBouncer:
    """In front of a local server, for as long as a ``with`` block lasts. The port stays the same.

    users: passwords by name, for its clients and the server alike.
    settings: lines for its configuration.
    """

    def __init__(self, server: LocalPostgres, users: Mapping[str, str] | None = None, settings: str = "") -> None:
        self._settings = settings
        self._server = server
        self._users = dict(users or {"app": PASSWORD})
        self.port = free_port()

    def __enter__(self) -> PgBouncer:
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = folder = Path(self._temporary.name)
        chain = self._server.chain
        files = {
            "pgbouncer.ini": CONFIGURATION.format(server_port=self._server.port, port=self.port, folder=folder)
            + self._settings,
            "users.txt": self._user_lines(),
            "server.key": chain.key_pem,
            "server.pem": chain.server_pem,
            "root.pem": chain.root_pem,
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        # Like PostgreSQL it refuses to run as root.
        self._account = account()
        if self._account:
            for path in [folder, *folder.iterdir()]:
                os.chown(path, self._account["user"], self._account["group"])
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._temporary.cleanup()

    def _user_lines(self) -> str:
        return "".join(f'"{user}" "{password}"\n' for user, password in self._users.items())

    def know(self, user: str, password: str) -> None:
        """Let a role log in with another password from now on, here and at the server."""
        self._server.sql(f"ALTER ROLE {user} PASSWORD '{password}'")
        self._users[user] = password
        (self._folder / "users.txt").write_text(self._user_lines())
        before = self._log.read_text().count("re-reading config")
        self._process.send_signal(signal.SIGHUP)
        # It reads the file before it serves the next client.
        self._wait_for("re-reading config", before + 1)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    @property
    def version(self) -> tuple[int, ...]:
        """Its release, such as (1, 25)."""
        said = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True).stdout
        return tuple(map(int, said.split()[1].split(".")[:2]))

    def start(self) -> None:
        assert PROGRAM is not None
        with open(self._log, "wb") as file:
            self._process = subprocess.Popen(
                [PROGRAM, self._folder / "pgbouncer.ini"], stdout=file, stderr=file, **self._account
            )
        self._wait_for("process up", 1)

    def _wait_for(self, text: str, count: int) -> None:
        """Wait until the log has a text so many times, or fail the test."""
        end = time.monotonic() + START_TIMEOUT
        while self._log.read_text().count(text) < count:
            if time.monotonic() > end or self._process.poll() is not None:
                self.stop()
                pytest.fail(self._log.read_text())
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it: SIGTERM at once (before 1.23, then once the clients have gone), SIGINT after running transactions."""
        self._process.send_signal(how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
