"""One run of Django's own suite: a server, an engine with verified TLS, and what became of each test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from demo_project.localpg import LocalPostgres, azure_chain

HERE = Path(__file__).parent
HOST = "suite.postgres.database.azure.com"
# Alphanumeric, because it goes through SQL and the environment.
PASSWORD = "suite0password"
# The suite has all its tables in one database, and some tests lock them all.
SERVER_SETTINGS = {"timezone": "UTC", "shared_buffers": "128MB", "max_locks_per_transaction": 512}


class SuiteError(Exception):
    """The suite did not come to its end. The text says why, with the end of its output."""


@dataclass(frozen=True)
class Outcome:
    """What became of one test: a kind of recording.KINDS, or "absent", and the reason or error in one line."""

    kind: str
    why: str = ""


@dataclass(frozen=True)
class Side:
    """An engine to run the suite on. options: what it needs in OPTIONS to verify the server."""

    engine: str
    options: dict[str, str] = field(default_factory=dict)


class Run:
    """The suite in its own process, against its own server. Use it as a context manager.

    suite: the folder of Django's tests. folder: where its output and outcomes go. bin_dir: as for LocalPostgres.
    """

    def __init__(self, side: Side, suite: Path, folder: Path, bin_dir: Path | None) -> None:
        self.side = side
        self._suite = suite
        self._folder = folder / side.engine
        self._outcomes = self._folder / "outcomes.json"
        self._log = self._folder / "log"
        self._chain = azure_chain(HOST)
        self._server = LocalPostgres(self._chain, bin_dir=bin_dir, settings=SERVER_SETTINGS)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self.seconds = 0.0

    def __enter__(self) -> Run:
        self._server.__enter__()
        self._folder.mkdir(exist_ok=True)
        (self._folder / "root.pem").write_text(self._chain.root_pem)
        for name in ("settings", "recording"):
            (self._folder / f"azpg_suite_{name}.py").write_bytes((HERE / f"{name}.py").read_bytes())
        for database in ("suite", "suite_other"):
            self._server.create(database, PASSWORD, database, "SUPERUSER" if database == "suite" else "")
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            # With the processes that it started.
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
        self._server.__exit__(None, None, None)

    @property
    def server_version(self) -> str:
        return self._server.sql("SHOW server_version").split()[0]

    def _database(self) -> dict[str, object]:
        return {
            "ENGINE": self.side.engine,
            "USER": "suite",
            "PASSWORD": PASSWORD,
            "HOST": HOST,
            "PORT": str(self._server.port),
            "OPTIONS": {
                "hostaddr": "127.0.0.1",
                "sslrootcert": str(self._folder / "root.pem"),
                **self.side.options,
            },
        }

    def start(self, labels: list[str], processes: int) -> None:
        """Start the tests with these labels of runtests.py; no label means all tests."""
        self._outcomes.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self._folder), *filter(None, sys.path)]),
            "AZPG_SUITE_DATABASE": json.dumps(self._database()),
            "AZPG_SUITE_OUTCOMES": str(self._outcomes),
        }
        command = [sys.executable, "runtests.py", "--settings", "azpg_suite_settings", "--noinput"]
        command += ["--parallel", str(processes), *labels]
        self._began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._suite,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self) -> dict[str, Outcome]:
        """Wait for the end, and return the outcome of each test by its id. Raises SuiteError."""
        if self._process is None:
            raise SuiteError("The suite was not started.")
        self._process.wait()
        self.seconds = time.monotonic() - self._began
        if not self._outcomes.exists():
            end = self._log.read_text(errors="replace")[-3000:]
            raise SuiteError(f"The suite broke off on {self.side.engine}:\n{end}")
        recorded = json.loads(self._outcomes.read_text("utf-8"))
        return {test: Outcome(*each) for test, each in recorded.items()}
