"""A local server for its own tests, and psql to ask it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from demo_project.localpg import Chain, LocalPostgres
from demo_project.localpg.binaries import find_binaries, program
from tests.support import templates
from tests.support.psql import APP_PASSWORD, DISTRIBUTIONS, Ask, Refused
from tests.support.settings import HOST


@pytest.fixture(scope="module", autouse=True)
def real_initdb() -> Iterator[None]:
    with templates.initdb():
        yield


@pytest.fixture(scope="module", params=DISTRIBUTIONS)
def local(chain: Chain, request: pytest.FixtureRequest) -> Iterator[LocalPostgres]:
    """A server that the tests of one module share; who changes it puts it back."""
    with LocalPostgres(
        chain, bin_dir=DISTRIBUTIONS[request.param], users={"app": APP_PASSWORD}, databases={"app": "app"}
    ) as running:
        yield running


@pytest.fixture
def ask(root_file: str) -> Ask:
    """Return a function that runs SQL as a client would, over verified TLS unless a keyword says otherwise."""

    def run(server: LocalPostgres, statement: str = "SELECT 1", **conninfo: object) -> str:
        parts = {
            "host": HOST,
            "hostaddr": server.host,
            "port": server.port,
            "user": "app",
            "dbname": "app",
            "sslmode": "verify-full",
            "sslrootcert": root_file,
            **conninfo,
        }
        asked = subprocess.run(
            [program(find_binaries(), "psql"), "-XAtqc", statement, " ".join(f"{k}={v}" for k, v in parts.items())],
            env={**os.environ, "PGPASSWORD": APP_PASSWORD},
            capture_output=True,
            text=True,
        )
        if asked.returncode:
            raise Refused(asked.stderr)
        return asked.stdout.strip()

    return run
