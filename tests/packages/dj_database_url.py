"""URLs with every kind of password, by engine= and by scheme, in a connection."""

from __future__ import annotations

import urllib.parse

import dj_database_url
import pytest
from django.db import connections

from tests.support.packages import project

project.configure()
KNOWN = project.known()["database"]
QUERY = urllib.parse.urlencode(KNOWN["OPTIONS"])
PASSWORD = urllib.parse.quote(KNOWN["PASSWORD"], safe="")
URL = f"postgresql://app:{PASSWORD}@{KNOWN['HOST']}:{KNOWN['PORT']}/app?{QUERY}"


def reached(entry: dict[str, object]) -> bool:
    connections.settings["url"] = {**connections.settings["default"], **entry}
    try:
        return project.encrypted("url")
    finally:
        connections["url"].close()
        del connections["url"]


def test_engine() -> None:
    entry = dj_database_url.parse(URL, engine=project.engine())
    assert entry["ENGINE"] == project.engine()
    assert reached(dict(entry))


@pytest.mark.parametrize("password", ["a:b@c/d?e#f%g", "ü ß", "'\"\\", "%41"])
def test_passwords(password: str) -> None:
    url = f"postgresql://app:{urllib.parse.quote(password, safe='')}@host/app"
    assert dj_database_url.parse(url, engine=project.engine())["PASSWORD"] == password


@pytest.mark.recipe
def test_a_weak_request_is_raised() -> None:
    entry = dj_database_url.parse(URL, engine=project.engine(), ssl_require=True)
    assert entry["OPTIONS"]["sslmode"] == "require"
    assert reached(dict(entry))
