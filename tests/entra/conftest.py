"""Real azure-identity against local stand-ins, and servers that take tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from azpg_backend.process import memory
from demo_project.localpg import Chain, LocalPostgres
from tests.support.gateway import Gateway, gateway
from tests.support.settings import EntraSettings, entra_settings_at
from tests.support.standins import Issuer


@pytest.fixture(autouse=True)
def no_token_outlives_its_test() -> Iterator[None]:
    """Its renewals would be counted by the tests that follow."""
    yield
    for keeper in list(memory._owned):
        keeper.stop()


@pytest.fixture(scope="session")
def token_server(chain: Chain) -> Iterator[LocalPostgres]:
    """A server that asks for the password itself, as Azure does for a token, and trusts a gateway."""
    lines = (
        "hostnossl all all 127.0.0.1/32 trust",
        "hostssl all all 127.0.0.1/32 password",
    )
    with LocalPostgres(chain, hba=lines) as running:
        running.create("app", "unknown to all", "app", "CREATEDB")
        yield running


@pytest.fixture
def azure(issuer: Issuer, token_server: LocalPostgres, chain: Chain) -> Iterator[Gateway]:
    """A server that takes every live token of the issuer."""
    with gateway(issuer, token_server, chain) as running:
        yield running


@pytest.fixture
def entra_settings(root_file: str) -> EntraSettings:
    def make(port: int, azpg: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        return entra_settings_at(port, root_file, azpg, **options)

    return make
