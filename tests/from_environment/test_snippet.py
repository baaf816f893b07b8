"""``python -m azpg_backend.settings``: the snippet gives what from_environment() gives, and shows no value."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from azpg_backend.settings import __main__ as program
from azpg_backend.settings import from_environment
from tests.support.settings import HOST

SENTINEL = "s3ntinel-9f2c"
PRINCIPAL = {"CLIENTID": "id-0001", "CLIENTSECRET": SENTINEL, "TENANTID": "id-0002"}


def connector(**parts: str) -> dict[str, str]:
    values = {"HOST": HOST, "NAME": "app", "USER": "me", **parts}
    return {f"AZURE_POSTGRESQL_{part}": value for part, value in values.items()}


def settings_in(text: str) -> dict[str, Any]:
    module: dict[str, Any] = {}
    exec(compile(text, "settings.py", "exec"), module)  # noqa: S102
    entry: dict[str, Any] = module["DATABASES"]["default"]
    return entry


COMPLETE: dict[str, dict[str, str]] = {
    "a password": connector(PASSWORD=SENTINEL, PORT="6432"),
    "a user-assigned identity": connector(CLIENTID="id-0001"),
    "a service principal": connector(**PRINCIPAL),
    "a string": {"AZURE_POSTGRESQL_CONNECTIONSTRING": f"host={HOST} dbname=app user=me password={SENTINEL}"},
    "App Service": {"POSTGRESQLCONNSTR_my_db": f"Host={HOST};Database=app;Username=me;Password={SENTINEL}"},
    "a URL": {"DATABASE_URL": f"azpgis://me:{SENTINEL}@{HOST}/app"},
    "the older sample": {
        "DBHOST": "demo",
        "DBNAME": "app",
        "DBUSER": "me",
        "DBPASS": SENTINEL,
        "WEBSITE_HOSTNAME": "x",
    },
    "libpq's own": {"PGHOST": HOST, "PGDATABASE": "app", "PGUSER": "me", "PGPASSWORD": SENTINEL},
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.mark.parametrize("name", COMPLETE)
def test_the_snippet_gives_the_same_entry(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in COMPLETE[name].items():
        monkeypatch.setenv(variable, value)
    assert program.main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert settings_in(out) == from_environment()
    assert not [value for value in COMPLETE[name].values() if len(value) > 3 and value in out]


def test_what_the_caller_says_is_in_the_snippet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_URL", f"postgres://me:{SENTINEL}@db/app")
    assert program.main(["SHOP_URL", "--plaintext-host", "db", "--engine", "azpg_backend.postgis"]) == 0
    out = capsys.readouterr().out
    call = 'from_environment("SHOP_URL", engine="azpg_backend.postgis", plaintext_hosts=["db"])'
    assert call in out
    assert settings_in(out)["ENGINE"] == "django.contrib.gis.db.backends.postgis"


OPEN: dict[str, tuple[dict[str, str], bool, str]] = {
    "nothing": ({}, False, "No database in the environment"),
    "an error": ({"DBHOST": "demo"}, False, "DBNAME, DBUSER and DBPASS are not set"),
    "two": (
        {**connector(PASSWORD=SENTINEL), "DATABASE_URL": f"azpg://other:{SENTINEL}@{HOST}/app"},
        False,
        "AZURE_POSTGRESQL, DATABASE_URL",
    ),
    "an unknown identity": (connector(), True, "which identity, this environment does not tell"),
    "another host": (connector(HOST="db.example.com", PASSWORD=SENTINEL), True, "none of Azure's"),
    "a short host": (connector(HOST="demo", PASSWORD=SENTINEL), True, "is the full name of one"),
    "a password with a line break": (connector(PASSWORD=f"{SENTINEL}\n"), True, "has a line break at its end"),
    "a blank before the host": (
        connector(HOST=f" {HOST}", PASSWORD=SENTINEL),
        True,
        "will refuse DATABASES['default']['HOST']",
    ),
    "a port in words": (connector(PORT=SENTINEL, PASSWORD=SENTINEL), True, "['PORT'] (azpg.E002): manage.py check"),
    "quotation marks": ({"DATABASE_URL": f'"azpg://me:{SENTINEL}@{HOST}/app"'}, False, "Remove the quotation marks"),
    "user@server": (connector(USER="me@demo", PASSWORD=SENTINEL), True, "AZURE_POSTGRESQL_USER has the form"),
    "keys of .NET": (
        {"AZURE_POSTGRESQL_CONNECTIONSTRING": f"Server={HOST};Database=app;Uid=me;Pwd={SENTINEL};Pooling=1"},
        True,
        "Pooling",
    ),
    "libpq's own": (
        {"DATABASE_URL": f"azpg://me:{SENTINEL}@{HOST}/app", "PGHOST": "db", "PGPASSWORD": SENTINEL + "x"},
        True,
        "DATABASE_URL counts",
    ),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_it_can_not_tell_is_on_standard_error(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ, has_snippet, words = OPEN[name]
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert program.main([]) == 1
    out, err = capsys.readouterr()
    assert words in err
    assert bool(out) == has_snippet
    assert SENTINEL not in out + err


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "azpg_backend.settings", *arguments]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), **environ}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
    )


def test_the_program() -> None:
    done = run(**connector(PASSWORD=SENTINEL))
    assert (done.returncode, done.stderr) == (0, "")
    assert '"PASSWORD": os.environ["AZURE_POSTGRESQL_PASSWORD"],' in done.stdout
    assert run().returncode == 1
    assert run("--nope").returncode == 2


def test_help_teaches() -> None:
    done = run("--help")
    assert done.returncode == 0
    for part in ("AZURE_POSTGRESQL_*", "DATABASE_URL", "examples:", "exit status:", "SOURCE", "--plaintext-host HOST"):
        assert part in done.stdout
