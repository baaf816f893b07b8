"""Connection strings: every password through each form, with libpq as the judge of its own."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from azpg_backend.plan import libpq
from azpg_backend.settings import from_environment, strings
from azpg_backend.settings.strings import keyword_values, read
from tests.support.settings import HOST

# Whatever an environment can hold.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def as_url(password: str) -> str:
    return f"azpg://me:{urllib.parse.quote(password, safe='')}@{HOST}:6432/app"


def as_query(password: str) -> str:
    return f"postgresql://{HOST}:6432/app?user=me&password={urllib.parse.quote(password, safe='')}"


def as_libpq(password: str) -> str:
    return libpq.conninfo({"password": password, "host": HOST, "port": 6432, "user": "me", "dbname": "app"})


def as_escaped(password: str) -> str:
    escaped = "".join(f"\\{each}" if each in "\\' \t\n\r\f\v" else each for each in password)
    return f"dbname=app host={HOST} user=me password={escaped} port = 6432"


def as_dotnet(password: str) -> str:
    value = '"' + password.replace('"', '""') + '"'
    return f"Server={HOST};Database=app;Port=6432;Ssl Mode=Require;User Id=me;Password={value};"


def as_lower_dotnet(password: str) -> str:
    value = "'" + password.replace("'", "''") + "'"
    return f"password={value}; host = {HOST};port=6432;database=app ;username=me"


FORMS = [as_url, as_query, as_libpq, as_escaped, as_dotnet, as_lower_dotnet]


@pytest.mark.parametrize("form", FORMS)
@given(password=TEXT)
@example(password="a;host=other")
@example(password="' host=other b='")
@example(password="%41+@/?#:[]&=")
@example(password=" \t\n'\"\\")
@example(password="\u00a0\u3000")
def test_every_password_survives(form: Callable[[str], str], password: str) -> None:
    expected = {"host": HOST, "port": "6432", "dbname": "app", "user": "me", "password": password}
    assert read(form(password)).values == expected


@given(password=TEXT)
def test_every_password_survives_in_a_variable(password: str) -> None:
    login = {"HOST": HOST, "NAME": "app", "USER": "me", "PASSWORD": password}
    entry = from_environment(environ={f"AZURE_POSTGRESQL_{key}": value for key, value in login.items()})
    assert str.__str__(entry["PASSWORD"]) == password


def libpq_says(text: str) -> dict[str, Any] | None:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    try:
        if is_psycopg3:
            from psycopg.conninfo import conninfo_to_dict

            return dict(conninfo_to_dict(text))
        from psycopg2.extensions import parse_dsn

        return dict(parse_dsn(text))
    except Exception:
        return None


PIECES = st.sampled_from(
    ["host", "dbname", "user", "password", "=", "= ", " = ", " ", "\t", "'", "\\", "\\'", "x", ";", "\u00a0", "a=b"]
)


@given(st.lists(PIECES, max_size=12).map("".join))
@example("host=x password='a' user=b")
@example("host=x password='a'user=b")
@example("host= dbname=x")
@example("password=a'b host=x")
@example("host== host=")
@example("host== \xa0")
def test_libpqs_own_form_is_read_as_libpq_reads_it(text: str) -> None:
    said = libpq_says(text)
    mine = keyword_values(text)
    if said is None:
        known = {"host", "dbname", "user", "password"}
        assert not mine or not {key for key, _ in mine} <= known
    elif mine:
        # The drivers leave out what is empty, and psycopg shows what libpq fills in.
        assert {key: value for key, value in dict(mine).items() if value} == {
            key: value for key, value in said.items() if value
        }


@given(st.text(max_size=40))
def test_no_text_makes_it_fall_over(text: str) -> None:
    for start in ("", "azpg://", "azpg://me:pw@host/", "host=x ", "Server=x;"):
        try:
            assert isinstance(read(start + text), strings.Said)
        except strings.Unreadable as error:
            assert "not shown" in str(error) or "URL" in str(error) or "connection string" in str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host=h dbname=d sslmode=require", {"host": "h", "dbname": "d"}),
        ("host=h dbname=d sslmode=verify-ca sslrootcert=/x", {"host": "h", "dbname": "d", "sslrootcert": "/x"}),
        ("host=h dbname=d user=u user=", {"host": "h", "dbname": "d"}),
        ("host=h\ndbname=d", {"host": "h", "dbname": "d"}),
        ("postgres:///d?host=/var/run/postgresql", {"host": "/var/run/postgresql", "dbname": "d"}),
        ("postgres://%2Fvar%2Frun/d", {"host": "/var/run", "dbname": "d"}),
        ("azpg://me@contoso.com:x@h/d", {"user": "me@contoso.com", "password": "x", "host": "h", "dbname": "d"}),
        ("azpg://u:a#b@h/d", {"user": "u", "password": "a#b", "host": "h", "dbname": "d"}),
        ("azpg://u:100%@h/d", {"user": "u", "password": "100%", "host": "h", "dbname": "d"}),
        ("azpg://u:a+b@h/d\n", {"user": "u", "password": "a+b", "host": "h", "dbname": "d"}),
        ("AZPG://u:p@[::1]:5/d", {"user": "u", "password": "p", "host": "::1", "port": "5", "dbname": "d"}),
        (
            "Data Source=h;Initial Catalog=d;UID=u;PWD=p;Application Name=x;Root Certificate=/x",
            {"host": "h", "dbname": "d", "user": "u", "password": "p", "application_name": "x", "sslrootcert": "/x"},
        ),
    ],
)
def test_forms(text: str, expected: dict[str, str]) -> None:
    assert read(text).values == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("'azpg://u:x1y2@h/d'", "begins with a quotation mark"),
        ("\u201cazpg://u:x1y2@h/d\u201d", "begins with a quotation mark"),
        ("@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x1y2)", "a Key Vault reference"),
        ('psql "host=h dbname=d user=u password=x1y2"', "a command line of psql"),
        ("psql postgres://u:x1y2@h/d", "a command line of psql"),
        ("DATABASE_URL=postgres://u:x1y2@h/d", "a line of an env file"),
        ("export DATABASE_URL='postgres://u:x1y2@h/d'", "a line of an env file"),
        ("${DATABASE_URL}", "a placeholder"),
        ("{your_connection_string}", "a placeholder"),
        ("<x1y2>", "a placeholder"),
        ("None", "a missing value"),
        ("undefined", "a missing value"),
        ("\ufeffpostgres://u:x1y2@h/d", "a byte order mark"),
    ],
)
def test_what_stands_in_place_of_a_string(text: str, part: str) -> None:
    with pytest.raises(strings.Unreadable, match="is not a connection string: it ") as caught:
        read(text)
    assert part in str(caught.value)
    assert "x1y2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", " ", "x", "host", "host=", "a=b", "host=x nothing=y", "host=x user='a", ";;", "=;="]
)
def test_what_is_no_string(text: str) -> None:
    with pytest.raises(strings.Unreadable):
        read(text)


def test_keys_that_mean_nothing_are_named() -> None:
    assert read("Server=h;Database=d;Pooling=true;Maximum Pool Size=5").ignored == ("Pooling", "Maximum Pool Size")
