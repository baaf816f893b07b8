"""The recipe's pools, ordinary and asynchronous, over verified TLS; each connection asks for a live token."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.packages import project

if project.engine() != project.STOCK:
    project.configure(databases={"default": project.database(), "managed": project.entra()})
ALIASES = [("default", "app"), ("managed", "managed")]


def module() -> Any:
    return project.followed("psycopg-pool", "mysite_pools")


@pytest.mark.recipe
@pytest.mark.parametrize(("alias", "user"), ALIASES)
def test_pool(alias: str, user: str) -> None:
    with module().pool(alias, min_size=1, max_size=2) as pool, pool.connection() as first, pool.connection() as second:
        for each in (first, second):
            assert each.execute("SELECT current_user").fetchone() == (user,)


@pytest.mark.recipe
@pytest.mark.parametrize(("alias", "user"), ALIASES)
def test_async_pool(alias: str, user: str) -> None:
    async def ask() -> Any:
        async with module().async_pool(alias, min_size=1, max_size=2) as pool, pool.connection() as connection:
            return await (await connection.execute("SELECT current_user")).fetchone()

    assert asyncio.run(ask()) == (user,)


@pytest.mark.recipe
def test_each_connection_asks_for_a_live_token(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = module()
    asked: list[str] = []
    arguments = recipes.parameters.arguments

    def counted(alias: str) -> dict[str, Any]:
        asked.append(alias)
        return arguments(alias)

    monkeypatch.setattr(recipes.parameters, "arguments", counted)
    with recipes.pool("managed", min_size=1, max_size=3) as pool, pool.connection(), pool.connection():
        assert len(asked) >= 2
