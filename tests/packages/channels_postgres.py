"""A channel layer's messages and groups; the recipe's layer, which verifies, with a password and with a token."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import connections

from tests.support.packages import project

DATABASES = {"default": project.database(), "channels_postgres": project.database()}
if project.engine() != project.STOCK:
    DATABASES["managed"] = project.entra()
project.configure("channels_postgres", databases=DATABASES)


async def exchanged(layer: Any) -> tuple[Any, Any]:
    from channels_postgres import db

    name = await layer.new_channel()
    await layer.send(name, {"type": "test", "n": 1})
    direct = await asyncio.wait_for(layer.receive(name), 60)
    await layer.group_add("group", name)
    await layer.group_send("group", {"type": "test", "n": 2})
    grouped = await asyncio.wait_for(layer.receive(name), 60)
    async with db.connection_pool.connection() as connection:
        cursor = await connection.execute("SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        who = await cursor.fetchone()
    layer.listener_task.cancel() if getattr(layer, "listener_task", None) else None
    await db.connection_pool.close()
    db.connection_pool = None
    return (direct["n"], grouped["n"]), who


def test_verified_by_its_own_options() -> None:
    from channels_postgres.core import PostgresChannelLayer

    project.migrate()
    entry = dict(connections["default"].settings_dict)
    entry["OPTIONS"] = {**entry["OPTIONS"], "sslmode": "verify-full"}
    assert asyncio.run(exchanged(PostgresChannelLayer(**entry))) == ((1, 2), ("app", True))


@pytest.mark.recipe
@pytest.mark.parametrize(("alias", "user"), [("default", "app"), ("managed", "managed")])
def test_recipe(alias: str, user: str) -> None:
    project.migrate()
    layer = project.followed("channels-postgres", "mysite_layers").AzureChannelLayer(alias)
    assert layer.db_params["sslmode"] == "verify-full"
    numbers, (who, encrypted) = asyncio.run(exchanged(layer))
    assert numbers == (1, 2)
    # Behind the gateway of tokens, the server's side is not encrypted.
    assert (who, encrypted) == (user, alias == "default")
