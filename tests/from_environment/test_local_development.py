"""docs/local-development.md: its snippet in each of the four situations, and what it refuses."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from azpg_backend.plan.decision import decide
from azpg_backend.settings import from_environment
from demo_project.localpg import Chain, LocalPostgres
from tests.support.settings import HOST, PASSWORD, Settings

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "local-development.md").read_text("utf-8")
(SNIPPET,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
URLS = re.findall(r"DATABASE_URL[=:] ?(\S+)", DOCUMENT)
STOCK = "django.db.backends.postgresql"
HBA = ("hostnossl all all 127.0.0.1/32 scram-sha-256", "hostssl all app,nobody all reject")
PLATFORMS = {
    "App Service": "WEBSITE_HOSTNAME",
    "Container Apps": "CONTAINER_APP_NAME",
    "an identity": "IDENTITY_ENDPOINT",
    "AKS": "AZURE_FEDERATED_TOKEN_FILE",
}

Connect = Callable[[Settings], Any]


def entry() -> Settings:
    module: dict[str, Any] = {}
    exec(compile(SNIPPET, "settings.py", "exec"), module)  # noqa: S102
    found: Settings = module["DATABASES"]["default"]
    return found


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DATABASE_URL", "DB", "WEBSITE_", "CONTAINER_APP_", "POSTGRES")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def development(chain: Chain) -> Iterator[LocalPostgres]:
    """A server that is used without TLS, as on a laptop or in a container."""
    with LocalPostgres(chain, hba=HBA) as running:
        running.create("app", "secret", "app", "CREATEDB")
        yield running


def answer(wrapper: Any) -> tuple[Any, ...]:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return tuple(cursor.fetchone())


def test_readme_has_the_same_snippet() -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("## Local development\n")[2].partition("\n## ")[0]
    assert re.findall(r"```python\n(.*?)```", section, re.DOTALL) == [SNIPPET]


def test_the_page_has_its_situations() -> None:
    assert [f"postgres://app:secret@{host}/app" for host in ("localhost", "db", "localhost")] == URLS


@pytest.mark.server
def test_on_a_laptop(development: LocalPostgres, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    # What libpq adds to a URL that names neither.
    monkeypatch.setenv("PGUSER", "app")
    monkeypatch.setenv("PGPASSWORD", "secret")
    made = {**entry(), "PORT": str(development.port)}
    assert made["ENGINE"] == "azpg_backend"
    assert decide("default", made, environ={}).plaintext
    assert answer(connect(made)) == ("app", False)


@pytest.mark.server
@pytest.mark.parametrize("url", sorted(set(URLS)))
def test_in_docker_compose_or_in_ci(
    development: LocalPostgres, connect: Connect, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url.removesuffix("/app") + f":{development.port}/app")
    # In place of the container's name server.
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    made = entry()
    assert made["ENGINE"] == (STOCK if made["HOST"] == "db" else "azpg_backend")
    assert answer(connect(made)) == ("app", False)


@pytest.mark.parametrize("host", ["db", "localhost"])
def test_on_azure(
    server: LocalPostgres, root_file: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name, value in {"HOST": HOST, "NAME": "app", "USER": "app", "PASSWORD": PASSWORD}.items():
        monkeypatch.setenv(f"AZURE_POSTGRESQL_{name}", value)
    monkeypatch.setenv("AZURE_POSTGRESQL_PORT", str(server.port))
    made = entry()
    assert made == from_environment()
    made["OPTIONS"] = {"hostaddr": "127.0.0.1", "sslrootcert": root_file}
    assert answer(connect(made)) == ("app", True)


def test_the_variables_of_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    section = DOCUMENT.partition("## On Azure\n")[2]
    (variables,) = re.findall(r"```ini\n(.*?)```", section, re.DOTALL)
    for line in variables.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    plan = decide("default", entry(), environ={})
    assert list(plan.problems) == []
    assert plan.options.auth == "entra" and not plan.plaintext


@pytest.mark.parametrize("variable", PLATFORMS.values(), ids=PLATFORMS)
def test_on_azure_nothing_goes_without_tls(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.warns(UserWarning, match="Connecting will fail"):
        assert entry()["HOST"] == ""
    monkeypatch.setenv("DATABASE_URL", "postgres://app:secret@db/app")
    with pytest.raises(ImproperlyConfigured, match="a machine of Azure") as caught:
        entry()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", [HOST, f"db,{HOST}", "db.example.com", "10.0.0.4", "database"])
def test_a_host_that_is_not_listed_keeps_the_engine(host: str) -> None:
    made = from_environment(environ={"DATABASE_URL": f"postgres://app:secret@{host}/app"}, plaintext_hosts=["db"])
    assert made["ENGINE"] == "azpg_backend"
    assert "OPTIONS" not in made


@pytest.mark.parametrize(
    "host", [HOST, "db.example.com", "10.0.0.4", "db,other", "", "*", "1", "demo.azure.com.", "::2"]
)
def test_only_a_development_server_can_be_listed(host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="plaintext_hosts"):
        from_environment(environ={}, plaintext_hosts=["localhost", host])


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "::1", "/var/run/postgresql", "db", "my_db-1", "host.docker.internal"]
)
def test_what_can_be_listed(host: str) -> None:
    environ = {"PGHOST": host, "PGDATABASE": "app", "PGUSER": "app", "PGPASSWORD": "x"}
    made = from_environment(environ=environ, plaintext_hosts=[host.upper() if "/" not in host else host])
    local = host in ("localhost", "127.0.0.1", "::1", "/var/run/postgresql")
    assert made["ENGINE"] == ("azpg_backend" if local else STOCK)
    assert decide("default", made, environ={}).errors == [] or not local


def test_a_list_is_not_a_text() -> None:
    with pytest.raises(ImproperlyConfigured, match="Write a list"):
        from_environment(environ={}, plaintext_hosts="db")


def test_postgis_has_its_own_stock_engine_and_another_has_none() -> None:
    environ = {"DATABASE_URL": "azpgis://app:secret@db/app"}
    made = from_environment(environ=environ, plaintext_hosts=["db"])
    assert made["ENGINE"] == "django.contrib.gis.db.backends.postgis"
    with pytest.raises(ImproperlyConfigured, match="no counterpart"):
        from_environment(environ=environ, plaintext_hosts=["db"], engine="shop.engine")


@pytest.mark.parametrize("host", ["db", "localhost"])
def test_no_token_goes_there(host: str) -> None:
    environ = {"DATABASE_URL": f"azpg://app@{host}/app"}
    with pytest.raises(ImproperlyConfigured, match="over verified TLS only"):
        from_environment(environ=environ, plaintext_hosts=[host], auth="entra")
