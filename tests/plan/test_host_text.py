"""HOST, PORT, USER and NAME: what is too much in them is named, with what to write; a URL is not shown."""

from __future__ import annotations

import enum
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject

from tests.support.plans import HOST, ids, only, planned


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        (f"{HOST}\n", ["'mydemoserver.postgres.database.azure.com\\n'", "a line break at its end", ".strip()"]),
        (f" {HOST}", ["a blank at its beginning"]),
        (f"{HOST}\u200b", ["U+200B (ZERO WIDTH SPACE)"]),
        (f"\ufeff{HOST}", ["a byte order mark"]),
        (f"{HOST}, b{HOST}", ["element 2 of the list has a blank at its beginning"]),
        (f'"{HOST}"', ["has quotes in it", "Remove the quotes"]),
        (f"\u201c{HOST}\u201d", ["has quotes in it"]),
        (f"https://{HOST}", ["is a URL", "Write only the server's full name"]),
        (f"{HOST}:5432", ["has a port in it", f"Write '{HOST}' into HOST, and the port 5432 into PORT"]),
        (f"{HOST}:5432-5440", ["has a port in it"]),
        (f"{HOST}:", ["has a port in it", f"Write '{HOST}' into HOST."]),
        ("[::1]", ["has brackets in it", "without brackets"]),
        ("[::1]:5432", ["has brackets in it"]),
        (f"{HOST}/", ["ends in a slash", f"Write '{HOST}'"]),
        (f"{HOST}.", ["ends in a dot", f"Write '{HOST}'"]),
        (f"{HOST}/app", ["a path or a query", "not shown"]),
        (f"{HOST}?sslmode=require", ["not shown"]),
        (f"{HOST},5432", ["the number 5432", "into PORT"]),
        (f"tcp:{HOST},1433", ["is a URL, or a part of one"]),
        ("app:x1y2@" + HOST, ["has an '@' in it", "not shown"]),
        ("Server=h;Database=app;", ["is a connection string"]),
        ("${DB_HOST}", ["'${DB_HOST}'", "a placeholder that nothing replaced"]),
        ("<server>.postgres.database.azure.com", ["a placeholder"]),
        ("@Microsoft.KeyVault(VaultName=v;SecretName=h)", ["a Key Vault reference"]),
        ("/subscriptions/0/resourceGroups/g/providers/x/flexibleServers/demo", ["a resource id"]),
        ("/Subscriptions/0", ["a resource id"]),
        ("my\u2013server.postgres.database.azure.com", ["U+2013"]),
        (f"a..{HOST}", ["an empty or a too long part"]),
        ("a" * 64 + f".{HOST}", ["an empty or a too long part"]),
        ("*.postgres.database.azure.com", ["a pattern"]),
        ("my server.postgres.database.azure.com", ["' ' (U+0020)"]),
        ("%2Fvar%2Frun%2Fpostgresql", ["a socket directory", "with slashes"]),
        (f"{HOST}\\", ["ends in a slash", f"Write '{HOST}'"]),
        ("$DB_HOST", ["a placeholder"]),
        ("#{DbHost}#", ["'#{DbHost}#'", "a placeholder"]),
        ("[parameters('host')]", ["a placeholder"]),
        ("[concat(parameters('n'),'.postgres.database.azure.com')]", ["a placeholder"]),
        ("[reference('db').fullyQualifiedDomainName]", ["a placeholder"]),
        (f"{HOST};", ["ends in ';'", f"Write '{HOST}'"]),
        (f"{HOST}#", ["ends in '#'", f"Write '{HOST}'"]),
        (f"{HOST})", ["ends in ')'", f"Write '{HOST}'"]),
        (f'["{HOST}"]', ["a list or JSON as text"]),
        (f'{{"value": "{HOST}"}}', ["a list or JSON as text"]),
        (str((HOST,)), ["a list or JSON as text"]),
        ("$env:DB_HOST", ["a placeholder"]),
        ("@@DB_HOST@@", ["a placeholder"]),
        ("None", ["what a missing value becomes"]),
        ([HOST], ["type list", "joined with commas"]),
        (5, ["is 5, not the name of a server"]),
        (True, ["is True, not the name of a server"]),
        (b"\xff", ["not UTF-8"]),
    ],
)
def test_host(host: Any, parts: list[str]) -> None:
    plan = planned(HOST=host)
    assert ids(plan) == ["azpg.E002"]
    for part in ["DATABASES['default']['HOST']", *parts]:
        assert part in only(plan)
    assert "host" not in plan.params
    assert plan.endpoints == ()


def test_a_lazy_host() -> None:
    assert planned(HOST=SimpleLazyObject(lambda: HOST)).problems == ()
    missing: dict[str, str] = {}
    assert "a value that raises KeyError when it is read" in only(planned(HOST=SimpleLazyObject(lambda: missing["DB"])))


@pytest.mark.parametrize("host", [f"{HOST},b{HOST}", "10.0.0.4", "::1", "fe80::1%eth0", HOST.upper(), "under_score.de"])
def test_a_host_that_can_be_meant_is_passed_on(host: str) -> None:
    plan = planned(HOST=host)
    assert not plan.errors
    assert plan.params["host"] == host


@pytest.mark.parametrize("host", [HOST.encode(), ipaddress.ip_address("10.0.0.4")])
def test_a_host_in_another_wrapping_works_as_with_django(host: Any) -> None:
    plan = planned(HOST=host)
    assert not plan.errors
    assert plan.params["host"] in (HOST, "10.0.0.4")


@pytest.mark.parametrize(
    ("port", "part"),
    [
        ("tcp://10.0.0.1:5432", "Kubernetes"),
        (5432.0, "is 5432.0, not a port number"),
        (True, "is True"),
        ("5432-5440", "'5432-5440'"),
        (":5432", "':5432'"),
        ("'5432'", "\"'5432'\""),
        ("#{Port}#", "'#{Port}#', which is a placeholder"),
        ("5432 # default", "'5432 # default'"),
        ("5432/tcp", "'5432/tcp'"),
        (" 5432", "a blank at its beginning"),
        ("5432\n", "'5432\\n'"),
        (-1, "'-1'"),
        ("\uff15\uff14\uff13\uff12", "from 1 to 65535"),
        ("${DB_PORT}", "a placeholder"),
        ("5432;x1y2", "(not shown)"),
        ("9" * 5000, "from 1 to 65535"),
    ],
)
def test_port(port: Any, part: str) -> None:
    plan = planned(PORT=port)
    assert ids(plan) == ["azpg.E002"]
    assert "DATABASES['default']['PORT']" in only(plan)
    assert part in only(plan)
    assert plan.endpoints == ()


def test_the_port_of_pgbouncer_is_named_where_it_stands() -> None:
    assert "['OPTIONS']['port'] is 6432" in only(planned({"port": 6432}))
    assert "PGPORT in the environment is 6432" in only(planned(environ={"PGPORT": "6432"}))


@pytest.mark.parametrize("port", [5432, "5432", "05432", "", None, 0])
def test_a_port_that_works_goes_on_working(port: Any) -> None:
    assert planned(PORT=port).problems == ()


@pytest.mark.parametrize(
    ("hosts", "hostaddr", "port", "words"),
    [
        (f"{HOST},b{HOST}", "10.0.0.4", "", "HOST lists 2 hosts but hostaddr lists 1 address"),
        (HOST, "10.0.0.4,10.0.0.5", "", "HOST lists 1 host but hostaddr lists 2 addresses"),
        (HOST, None, "5432,5433", "PORT lists 2 ports but there is 1 host"),
        (f"{HOST},b{HOST}", None, "1,2,3", "PORT lists 3 ports but there are 2 hosts"),
    ],
)
def test_lists_that_do_not_go_together(hosts: str, hostaddr: str | None, port: str, words: str) -> None:
    plan = planned({"hostaddr": hostaddr}, HOST=hosts, PORT=port)
    assert ids(plan) == ["azpg.E002"]
    assert words in only(plan)


class Names(str, enum.Enum):
    ME = "me"


@pytest.mark.parametrize(
    ("user", "part"),
    [
        ("app:x1y2@" + HOST, "is a URL"),
        ("app:x1y2", "has a colon in it, like user:password"),
        ("postgres://app@h", "is a URL"),
        (":x1y2", "has a colon in it"),
        ("me : x1y2@h", "is a URL"),
        ("$USER", "a placeholder"),
        ("None", "a missing value"),
        ("null", "a missing value"),
        ("undefined", "a missing value"),
        ('"me"', "stands in quotes"),
        ("<user>", "a placeholder"),
        ("me\r", "a carriage return"),
        (True, "is True"),
        (["me"], "type list"),
    ],
)
def test_user(user: Any, part: str) -> None:
    plan = planned(USER=user)
    assert ids(plan) == ["azpg.E002"]
    assert part in only(plan)
    assert "x1y2" not in repr(plan)
    assert plan.user == ""


@pytest.mark.parametrize("user", ["me@contoso.com", "a_b.c#EXT#@d.onmicrosoft.com", "my app (prod)", "\u00fcser", 5])
def test_a_role_s_name_may_hold_almost_anything(user: Any) -> None:
    plan = planned(USER=user)
    assert plan.problems == ()
    assert plan.params["user"] == user


@pytest.mark.parametrize("key", ["HOST", "USER", "NAME", "PORT"])
@pytest.mark.parametrize("token", ["eyJ0eXAiOiJKV1Qi.eyJhdWQi.x1y2", "Bearer eyJ0eXAiOiJKV1Qi.eyJhdWQi." + "x1y2" * 99])
def test_a_token_where_none_belongs(key: str, token: str) -> None:
    plan = planned(**{key: token})
    assert ids(plan) == ["azpg.E002"]
    assert "is a token" in only(plan)
    assert "x1y2" not in only(plan) + repr(plan)


@pytest.mark.parametrize("address", ["10.0.0.4:5432", "[::1]", "10.0.0.4/32"])
def test_an_address_with_more_than_an_address(address: str) -> None:
    plan = planned({"hostaddr": address})
    assert f"{address!r} is not an IP address" in only(plan)
    assert "without brackets, mask and port" in only(plan)


@pytest.mark.parametrize("user", ["app@mydemoserver", f"app@{HOST}", f"app@{HOST.upper()}"])
def test_a_user_of_the_retired_form(user: str) -> None:
    plan = planned(USER=user)
    assert ids(plan) == ["azpg.W003"]
    assert "Use 'app'" in only(plan)
    assert planned(USER="app@mydemoserver.onmicrosoft.com").problems == ()


def test_a_role_with_a_colon_has_a_way_out() -> None:
    assert planned({"user": "team:app"}, USER="").problems == ()


def test_an_enumeration_s_member_is_its_text() -> None:
    assert planned(USER=Names.ME).params["user"] == "me"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (f"postgres://app@{HOST}/app", "is a URL"),
        ("Server=h;Database=app;Pwd=x", "is a URL or a connection string"),
        ("app?sslmode=require", "the query of a URL"),
        ("/app", "Write 'app'"),
        ("/srv/app/db.sqlite3", "is the path of a file"),
        ("[parameters('db')]", "a placeholder"),
        ("app\n", "'app\\n'"),
        ("app\x1b[31m", "an escape character"),
        ("'app'", "Write 'app'"),
        ("{{ name }}", "a placeholder"),
        ("x" * 64, "64 characters, and PostgreSQL's limit is 63"),
        (5, "is 5, not the name of a database"),
        (Path("db.sqlite3"), "not the name of a database"),
        ("host=h password=x1y2", "not shown"),
    ],
)
def test_name(name: Any, part: str) -> None:
    plan = planned(NAME=name)
    assert ids(plan) == ["azpg.E002"]
    assert "DATABASES['default']['NAME']" in only(plan)
    assert part in only(plan)
    assert "dbname" not in plan.params


@pytest.mark.parametrize("name", ["dbname=app sslmode=disable", "my app", "a/b", "\u00fcber", None, "x" * 63])
def test_a_name_that_can_be_meant_is_passed_on(name: Any) -> None:
    plan = planned(NAME=name)
    assert plan.problems == ()
    assert plan.params["dbname"] == ("postgres" if name is None else name)
