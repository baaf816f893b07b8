"""The recipe's engine: a query and a pool, over verified TLS, with a password and with a token."""

from __future__ import annotations

import pytest

from tests.support.packages import project

if project.engine() != project.STOCK:
    project.configure(databases={"default": project.database(), "managed": project.entra()})


@pytest.mark.recipe
@pytest.mark.parametrize("alias", ["default", "managed"])
def test_recipe(alias: str) -> None:
    import sqlalchemy

    text = project.recipe("sqlalchemy").replace('"default"', repr(alias))
    module: dict[str, object] = {}
    exec(compile(text, "engine.py", "exec"), module)
    engine = module["engine"]
    assert isinstance(engine, sqlalchemy.Engine)
    with engine.connect() as first, engine.connect() as second:
        users = [each.execute(sqlalchemy.text("SELECT current_user")).scalar() for each in (first, second)]
    assert users == ["app" if alias == "default" else "managed"] * 2
    engine.dispose()
