"""Each family of variables, all the way to a session on a real server."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from azpg_backend.plan import libpq
from azpg_backend.process import memory
from azpg_backend.settings import from_environment
from demo_project.localpg import Chain, LocalPostgres
from tests.support.gateway import gateway
from tests.support.settings import HOST, PASSWORD, Settings
from tests.support.standins import HEADER, Issuer, serving

Connect = Callable[[Settings], Any]


def families(port: str) -> dict[str, dict[str, str]]:
    parts = {"HOST": HOST, "NAME": "app", "USER": "app", "PASSWORD": PASSWORD, "PORT": port}
    quoted = urllib.parse.quote(PASSWORD, safe="")
    known = {"host": HOST, "port": port, "dbname": "app", "user": "app", "password": PASSWORD, "sslmode": "require"}
    dotnet = f'Server={HOST};Database=app;Port={port};Ssl Mode=Require;User Id=app;Password="{PASSWORD}";'
    return {
        "connector": {f"AZURE_POSTGRESQL_{part}": value for part, value in parts.items()},
        "psycopg2": {"AZURE_POSTGRESQL_CONNECTIONSTRING": libpq.conninfo(known)},
        "App Service": {"POSTGRESQLCONNSTR_main": dotnet},
        "URL": {"DATABASE_URL": f"azpg://app:{quoted}@{HOST}:{port}/app?sslmode=require"},
        "older sample": {"DBHOST": HOST, "DBNAME": "app", "DBUSER": "app", "DBPASS": PASSWORD, "DBPORT": port},
        "libpq": {"PGHOST": HOST, "PGDATABASE": "app", "PGUSER": "app", "PGPASSWORD": PASSWORD, "PGPORT": port},
    }


def reaching(entry: Settings, root_file: str) -> Settings:
    """Add to an entry what leads to this machine, and certifies it."""
    options = entry.get("OPTIONS", {})
    return {**entry, "OPTIONS": {**options, "hostaddr": "127.0.0.1", "sslrootcert": root_file}}


def uses_tls(wrapper: Any) -> bool:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("family", families(""))
def test_a_password(server: LocalPostgres, root_file: str, connect: Connect, family: str) -> None:
    entry = from_environment(environ=families(str(server.port))[family])
    assert uses_tls(connect(reaching(entry, root_file)))


@pytest.fixture
def token_server(chain: Chain) -> Iterator[LocalPostgres]:
    with LocalPostgres(chain, hba=("hostnossl all all 127.0.0.1/32 trust",)) as running:
        running.create("app", "unknown to all", "app")
        yield running
    memory.forget()


def test_a_managed_identity(
    token_server: LocalPostgres, chain: Chain, root_file: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Issuer()) as issuer, gateway(issuer, token_server, chain) as azure:
        for name, value in {
            "IDENTITY_ENDPOINT": f"{issuer.url}/msi/token",
            "IDENTITY_HEADER": HEADER,
            "AZURE_POSTGRESQL_CONNECTIONSTRING": f"dbname=app host={HOST} port={azure.port} sslmode=require user=app",
            "AZURE_POSTGRESQL_CLIENTID": "client",
        }.items():
            monkeypatch.setenv(name, value)
        wrapper = connect(reaching(from_environment(), root_file))
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() == ("app",)
        assert [each["client_id"] for each in issuer.requests] == ["client"]
        assert azure.accepted == 1
