"""PostgreSQL's programs, run as the right account and with nothing of this machine's own configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_project.localpg.binaries import LocalPostgresError, program
from demo_project.localpg.processes import shielded

# Seconds.
TIMEOUT = 120


@dataclass(frozen=True)
class Programs:
    """The programs of one folder. account: who runs them, as binaries.account() has it. scratch: their home."""

    folder: Path
    account: dict[str, Any]
    scratch: Path

    def path(self, name: str) -> Path:
        return program(self.folder, name)

    def start(self, name: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a program that appends all that it says to a log."""
        with open(log, "ab") as output:
            return subprocess.Popen(  # noqa: S603 (a program of the distribution)
                [self.path(name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment({}),
                cwd=self.scratch,
                # Out of Ctrl-C's reach: the caller gets it, and stops the server in an orderly way.
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                **self.account,
            )

    def run(self, name: str, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. Raises LocalPostgresError where that takes two minutes."""

        def work() -> subprocess.CompletedProcess[str]:
            return subprocess.run(  # noqa: S603 (a program of the distribution)
                [self.path(name), *arguments],
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=self._environment(env),
                cwd=self.scratch,
                check=False,
                timeout=TIMEOUT,
                **self.account,
            )

        try:
            return shielded(work)
        except subprocess.TimeoutExpired:
            raise LocalPostgresError(f"{name} did not end within {TIMEOUT} seconds.") from None

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return this process's environment without what would reach into the server or psql from outside.

        The home folder may be another account's, and libpq fails on a ~/.postgresql that it can't read.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        # Where the distribution brings its own ICU data (Alpine), ICU has to be told.
        icu = self.folder.parent / "share" / "icu"
        return {**kept, "HOME": str(self.scratch), **({"ICU_DATA": str(icu)} if icu.is_dir() else {}), **more}
