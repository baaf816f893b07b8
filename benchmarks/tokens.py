"""Compare three ways to log in with Microsoft Entra tokens: ``python -m benchmarks.tokens``.

This engine; Microsoft's azure-postgresql-auth under Django's own engine, with one credential for the process; and a
credential and a token for every connect, as in most home-made backends. All three connect to one PostgreSQL over
verified TLS and get their tokens by the real azure-identity from a stand-in of a host's identity endpoint, which takes
so many milliseconds. Needs psycopg2 and the extra ``benchmarks``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import psycopg2.extensions
from azure.identity import ManagedIdentityCredential
from azure_postgresql_auth.psycopg2 import EntraConnection
from django.conf import settings
from django.db import connections

from azpg_backend.plan import hosts
from azpg_backend.process import memory
from demo_project.localpg import LocalPostgres, azure_chain
from tests.support.standins import HEADER, UAMI, Issuer, jwt, serving

HOST = "benchmark.postgres.database.azure.com"
THREADS = 8

_shared: dict[str, Any] = {}


class SharedCredential(EntraConnection):
    """azure-postgresql-auth as its documentation has it: the application keeps one credential."""

    def __init__(self, dsn: str, **kwargs: Any) -> None:
        super().__init__(dsn, credential=_shared["credential"], **kwargs)


class TokenPerConnect(psycopg2.extensions.connection):
    def __init__(self, dsn: str, **kwargs: Any) -> None:
        token = ManagedIdentityCredential().get_token(hosts.CLOUDS[0].scope).token
        super().__init__(psycopg2.extensions.make_dsn(dsn, password=token), **kwargs)


def as_in_a_new_process() -> None:
    memory.forget()
    _shared["credential"] = ManagedIdentityCredential()


def connect(alias: str) -> None:
    connections[alias].ensure_connection()
    connections[alias].close()


def one_after_the_other(alias: str, count: int) -> None:
    for _ in range(count):
        connect(alias)


def in_threads(alias: str, count: int) -> None:
    def work() -> None:
        for _ in range(count // THREADS):
            connect(alias)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def measured(issuer: Issuer, alias: str, run: Callable[[str, int], None], count: int) -> tuple[float, int]:
    """Return connects per second and token requests of a process that has no token yet."""
    as_in_a_new_process()
    issuer.requests.clear()
    started = time.perf_counter()
    run(alias, count)
    return count / (time.perf_counter() - started), len(issuer.requests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connects", type=int, default=48, help="connects in a round, a multiple of 8 (default: 48)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (default: 5)")
    parser.add_argument("--delay", type=float, default=30, help="milliseconds that the endpoint takes (default: 30)")
    arguments = parser.parse_args()
    chain = azure_chain(HOST)
    token = jwt({"xms_mirid": UAMI + "app"})
    issuer = Issuer(fixed={"": token}, before=lambda number: time.sleep(arguments.delay / 1000))
    with (
        LocalPostgres(chain, hba=("hostssl all all 127.0.0.1/32 password",)) as server,
        serving(issuer),
        tempfile.TemporaryDirectory() as folder,
    ):
        server.create("app", token, "app")
        root = Path(folder, "root.pem")
        root.write_text(chain.root_pem)
        os.environ |= {"IDENTITY_ENDPOINT": f"{issuer.url}/msi/token", "IDENTITY_HEADER": HEADER}
        base = {"NAME": "app", "USER": "app", "HOST": HOST, "PORT": server.port}
        path = {"hostaddr": "127.0.0.1", "sslrootcert": str(root)}
        stock = {**base, "ENGINE": "django.db.backends.postgresql"}
        verified = {**path, "sslmode": "verify-full"}
        azpg = {"auth": "entra", "credential": "azure.identity.ManagedIdentityCredential"}
        databases = {
            "this engine": {**base, "ENGINE": "azpg_backend", "OPTIONS": {**path, "azpg": azpg}},
            "azure-postgresql-auth": {**stock, "OPTIONS": {**verified, "connection_factory": SharedCredential}},
            "a token per connect": {**stock, "OPTIONS": {**verified, "connection_factory": TokenPerConnect}},
        }
        settings.configure(DATABASES={**databases, "default": databases["this engine"]}, USE_TZ=True)
        django.setup()
        compare(issuer, list(databases), arguments.connects, arguments.rounds)


def compare(issuer: Issuer, aliases: list[str], connects: int, rounds: int) -> None:
    runs = {"one thread": one_after_the_other, f"{THREADS} threads": in_threads}
    print(f"| {connects} connects of a new process | in | connects/s | token requests |\n| --- | --- | --- | --- |")
    for name, run in runs.items():
        figures: dict[str, list[tuple[float, int]]] = {alias: [] for alias in aliases}
        for _ in range(rounds):
            for alias, rows in figures.items():
                rows.append(measured(issuer, alias, run, connects))
        for alias, rows in figures.items():
            rates, requests = zip(*rows, strict=True)
            print(f"| {alias} | {name} | {statistics.median(rates):.0f} | {statistics.median(requests):.0f} |")


if __name__ == "__main__":
    main()
