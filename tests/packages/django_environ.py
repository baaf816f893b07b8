"""URLs with every kind of password, by engine= and by scheme, in a connection."""

from __future__ import annotations

import os
import urllib.parse

import environ
import pytest
from django.db import connections

from tests.support.packages import project

project.configure()
KNOWN = project.known()["database"]
QUERY = urllib.parse.urlencode(KNOWN["OPTIONS"])
URL = f"postgresql://app:{KNOWN['PASSWORD']}@{KNOWN['HOST']}:{KNOWN['PORT']}/app?{QUERY}"


def reached(entry: dict[str, object]) -> bool:
    connections.settings["url"] = {**connections.settings["default"], **entry}
    try:
        return project.encrypted("url")
    finally:
        connections["url"].close()
        del connections["url"]


def test_engine() -> None:
    os.environ["DATABASE_URL"] = URL
    assert reached(environ.Env().db(engine=project.engine()))


@pytest.mark.parametrize("password", ["a:b@c/d?e#f%g", "ü ß", "'\"\\"])
def test_passwords(password: str) -> None:
    os.environ["DATABASE_URL"] = f"postgresql://app:{urllib.parse.quote(password, safe='')}@host/app"
    assert environ.Env().db(engine=project.engine())["PASSWORD"] == password


@pytest.mark.recipe
def test_a_scheme_of_its_own() -> None:
    environ.Env.DB_SCHEMES["azpg"] = "azpg_backend"
    os.environ["DATABASE_URL"] = URL.replace("postgresql://", "azpg://")
    assert reached(environ.Env().db())
