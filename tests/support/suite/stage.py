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
    """An engine to compare. options: what it needs in OPTIONS, to verify the server for example."""

    engine: str
    options: dict[str, object] = field(default_factory=dict)

    def with_options(self, **options: object) -> Side:
        return Side(self.engine, {**self.options, **options})


STRICT: dict[str, object] = {"sslmode": "verify-full"}
PLAIN = (Side("azpg_backend"), Side("django.db.backends.postgresql", STRICT))
POSTGIS = (Side("azpg_backend.postgis"), Side("django.contrib.gis.db.backends.postgis", STRICT))


class Ground:
    """A server of its own for one engine, and the settings that lead to it. Use it as a context manager.

    folder: where a folder of the engine's name goes. bin_dir: as for LocalPostgres.
    """

    def __init__(self, side: Side, folder: Path, bin_dir: Path | None = None) -> None:
        self.side = side
        self.folder = folder / side.engine
        self._chain = azure_chain(HOST)
        self.server = LocalPostgres(self._chain, bin_dir=bin_dir, settings=SERVER_SETTINGS)

    def __enter__(self) -> Ground:
        self.server.__enter__()
        self.folder.mkdir(exist_ok=True)
        (self.folder / "root.pem").write_text(self._chain.root_pem)
        for database in ("suite", "suite_other"):
            self.server.create(database, PASSWORD, database, "SUPERUSER" if database == "suite" else "")
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(None, None, None)

    def database(self) -> dict[str, object]:
        """Return an entry of DATABASES that has no NAME yet."""
        root = str(self.folder / "root.pem")
        return {
            "ENGINE": self.side.engine,
            "USER": "suite",
            "PASSWORD": PASSWORD,
            "HOST": HOST,
            "PORT": str(self.server.port),
            "OPTIONS": {"hostaddr": "127.0.0.1", "sslrootcert": root, **self.side.options},
        }

    def environment(self) -> dict[str, str]:
        """Return this process's environment with the settings in it, in which modules of the folder can be imported."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder), *filter(None, sys.path)]),
            "AZPG_SUITE_DATABASE": json.dumps(self.database()),
        }


class Run:
    """Django's suite in its own process. Use it as a context manager. suite: the folder of Django's tests."""

    def __init__(self, ground: Ground, suite: Path) -> None:
        self.seconds = 0.0
        self._ground = ground
        self._suite = suite
        self._outcomes = ground.folder / "outcomes.json"
        self._log = ground.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def __enter__(self) -> Run:
        for name in ("settings", "recording"):
            (self._ground.folder / f"azpg_suite_{name}.py").write_bytes((HERE / f"{name}.py").read_bytes())
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            # With the processes that it started.
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()

    def start(self, labels: list[str], processes: int) -> None:
        """Start the tests with these labels of runtests.py; no label means all tests."""
        self._outcomes.unlink(missing_ok=True)
        command = [sys.executable, "runtests.py", "--settings", "azpg_suite_settings", "--noinput"]
        command += ["--parallel", str(processes), *labels]
        self._began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._suite,
                env={**self._ground.environment(), "AZPG_SUITE_OUTCOMES": str(self._outcomes)},
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
            raise SuiteError(f"The suite broke off on {self._ground.side.engine}:\n{end}")
        recorded = json.loads(self._outcomes.read_text("utf-8"))
        return {test: Outcome(*each) for test, each in recorded.items()}
