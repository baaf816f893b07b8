"""azpg:// URLs with the real dj-database-url and django-environ."""

from __future__ import annotations

import sys
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import dj_database_url
import environ
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azpg_backend.plan.decision import decide
from azpg_backend.settings import register_urls
from demo_project.localpg import LocalPostgres
from tests.support.settings import HOST, PASSWORD, Settings

Reader = Callable[[str], dict[str, Any]]


def by_dj_database_url(url: str) -> dict[str, Any]:
    return dict(dj_database_url.parse(url))


def by_environ(url: str) -> dict[str, Any]:
    return dict(environ.Env.db_url_config(url))


READERS = [by_dj_database_url, by_environ]


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    register_urls()
    yield
    for scheme in ("azpg", "azpgis"):
        del dj_database_url.ENGINE_SCHEMES[scheme], environ.Env.DB_SCHEMES[scheme]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("scheme", "engine"), [("azpg", "azpg_backend"), ("azpgis", "azpg_backend.postgis")])
def test_the_scheme_is_the_engine(reader: Reader, scheme: str, engine: str) -> None:
    entry = reader(f"{scheme}://me:p%40ss@{HOST}:6432/app?connect_timeout=5")
    expected = {"ENGINE": engine, "NAME": "app", "HOST": HOST, "PORT": 6432, "USER": "me", "PASSWORD": "p@ss"}
    assert {key: entry[key] for key in expected} == expected
    assert entry["OPTIONS"] == {"connect_timeout": 5}


@pytest.mark.parametrize("reader", READERS)
@given(password=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_every_password_survives(reader: Reader, password: str) -> None:
    quoted = urllib.parse.quote(password, safe="")
    assert reader(f"azpg://me:{quoted}@{HOST}/app")["PASSWORD"] == password


@pytest.mark.parametrize(
    "entry",
    [
        lambda: by_dj_database_url(f"azpg://me:x@{HOST}/app?sslmode=require"),
        lambda: by_environ(f"azpg://me:x@{HOST}/app?sslmode=require"),
        lambda: dict(dj_database_url.parse(f"azpg://me:x@{HOST}/app", ssl_require=True)),
    ],
)
def test_the_plan_raises_sslmode(entry: Callable[[], dict[str, Any]]) -> None:
    made = entry()
    assert made["OPTIONS"] == {"sslmode": "require"}
    plan = decide("default", made, environ={})
    assert plan.params["sslmode"] == "verify-full"
    assert plan.errors == []


def test_a_schema_as_with_djangos_own_schemes() -> None:
    entry = by_dj_database_url(f"azpg://me:x@{HOST}/app?currentSchema=shop")
    assert entry["OPTIONS"] == {"options": "-c search_path=shop"}


@pytest.mark.parametrize("reader", READERS)
def test_it_connects(reader: Reader, server: LocalPostgres, root_file: str, connect: Callable[[Settings], Any]) -> None:
    quoted = urllib.parse.quote(PASSWORD, safe="")
    options = f"sslmode=require&hostaddr=127.0.0.1&sslrootcert={urllib.parse.quote(root_file)}"
    wrapper = connect(reader(f"azpg://app:{quoted}@{HOST}:{server.port}/app?{options}"))
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)


def test_one_of_the_two_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dj_database_url", None)
    register_urls()
    monkeypatch.setitem(sys.modules, "environ", None)
    with pytest.raises(ImportError, match="dj-database-url or django-environ"):
        register_urls()
