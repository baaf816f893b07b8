"""Environment in, DATABASES entry or error out."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from azpg_backend.plan.decision import decide
from azpg_backend.settings import from_environment
from tests.support.settings import HOST

Environment = dict[str, str]

PASSWORD = "p=w;d'&\\"
LOGIN = {"NAME": "app", "HOST": HOST, "USER": "me"}
ENTRY = {"ENGINE": "azpg_backend", **LOGIN, "PORT": "5432"}
KNOWN = {**ENTRY, "PASSWORD": PASSWORD}
QUOTED = "'p=w;d\\'&\\\\'"
LIBPQ = f"dbname=app host={HOST} port=5432 sslmode=require user=me"
DOTNET = f'Server={HOST};Database=app;Port=5432;Ssl Mode=Require;User Id=me;Password="p=w;d\'&\\";'
URL = f"azpg://me:p=w%3Bd'&%5C@{HOST}/app"


def connector(start: str = "AZURE_POSTGRESQL", **parts: str) -> Environment:
    return {f"{start}_{part}": value for part, value in {**LOGIN, **parts}.items()}


def entra(name: str = "", **arguments: str) -> dict[str, Any]:
    credential = {"credential": f"azure.identity.{name}"} if name else {}
    given = {"credential_kwargs": arguments} if arguments else {}
    return {**ENTRY, "OPTIONS": {"azpg": {"auth": "entra", **credential, **given}}}


APP_SERVICE = {"IDENTITY_ENDPOINT": "http://127.0.0.1/msi/token", "IDENTITY_HEADER": "x"}
AKS = {"AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/token"}
PRINCIPAL = {"CLIENTID": "client", "CLIENTSECRET": "s3cret", "TENANTID": "tenant"}
ENVIRONMENTS: dict[str, tuple[Environment, dict[str, Any]]] = {
    "Service Connector for Django": (connector(PASSWORD=PASSWORD), KNOWN),
    "with a port": (connector(PASSWORD=PASSWORD, PORT="6432", SSL="true"), {**KNOWN, "PORT": "6432"}),
    "the older spelling": (connector("Azure_POSTGRESQL", PASSWORD=PASSWORD), KNOWN),
    "older names": (
        {
            "AZURE_POSTGRESQL_HOST": HOST,
            "AZURE_POSTGRESQL_DATABASE": "app",
            "AZURE_POSTGRESQL_USERNAME": "me",
            "AZURE_POSTGRESQL_PASS": PASSWORD,
        },
        KNOWN,
    ),
    "a connection of another name": (connector("AZURE_POSTGRESQL_ORDERS", PASSWORD=PASSWORD), KNOWN),
    "for psycopg2": ({"AZURE_POSTGRESQL_CONNECTIONSTRING": f"{LIBPQ} password={QUOTED}"}, KNOWN),
    "for .NET": ({"AZURE_POSTGRESQL_CONNECTIONSTRING": DOTNET}, KNOWN),
    "for Java": (
        {"AZURE_POSTGRESQL_CONNECTIONSTRING": f"jdbc:postgresql://{HOST}:5432/app?sslmode=require&user=me&password=x"},
        {**ENTRY, "PASSWORD": "x"},
    ),
    "a string and its parts": (
        {**connector(PASSWORD=PASSWORD), "AZURE_POSTGRESQL_CONNECTIONSTRING": f"{LIBPQ} password={QUOTED}"},
        KNOWN,
    ),
    "App Service": ({"POSTGRESQLCONNSTR_main": DOTNET}, KNOWN),
    "App Service, libpq": ({"POSTGRESQLCONNSTR_main": f"{LIBPQ} password={QUOTED}"}, KNOWN),
    "App Service, URL": ({"POSTGRESQLCONNSTR_main": URL}, KNOWN),
    "App Service, custom": ({"CUSTOMCONNSTR_main": DOTNET}, KNOWN),
    "App Service, custom beside another's": (
        {"CUSTOMCONNSTR_a": "x.redis.cache.windows.net:6380,password=y=,ssl=True", "CUSTOMCONNSTR_main": URL},
        KNOWN,
    ),
    "App Service, custom beside SQL Server's": (
        {"CUSTOMCONNSTR_a": "Server=x.database.windows.net;Database=y;User Id=z;Password=a", "CUSTOMCONNSTR_b": DOTNET},
        KNOWN,
    ),
    "the older sample on App Service": (
        {"DBHOST": "demo", "DBNAME": "app", "DBUSER": "me", "DBPASS": PASSWORD, "WEBSITE_HOSTNAME": "x"},
        KNOWN,
    ),
    "the older sample elsewhere": (
        {"DBHOST": "demo", "DBNAME": "app", "DBUSER": "me", "DBPASS": PASSWORD},
        {**KNOWN, "HOST": "demo"},
    ),
    "DATABASE_URL": ({"DATABASE_URL": URL}, KNOWN),
    "a URL for PostGIS": (
        {"DATABASE_URL": URL.replace("azpg:", "azpgis:")},
        {**KNOWN, "ENGINE": "azpg_backend.postgis"},
    ),
    "Django's URL for PostGIS": (
        {"DATABASE_URL": URL.replace("azpg:", "postgis:")},
        {**KNOWN, "ENGINE": "azpg_backend.postgis"},
    ),
    "SQLAlchemy's URL": ({"DATABASE_URL": URL.replace("azpg:", "postgresql+psycopg2:")}, KNOWN),
    "a URL with options": (
        {"DATABASE_URL": f"{URL}?sslmode=disable&ssl=true&connect_timeout=3&currentSchema=shop"},
        {**KNOWN, "OPTIONS": {"connect_timeout": "3", "options": "-c search_path=shop"}},
    ),
    "a URL with several servers": (
        {"DATABASE_URL": f"azpg://me:x@a.{HOST}:1,[::1]:2/app"},
        {**ENTRY, "PASSWORD": "x", "HOST": f"a.{HOST},::1", "PORT": "1,2"},
    ),
    "libpq's own": (
        {"PGHOST": HOST, "PGDATABASE": "app", "PGUSER": "me", "PGPASSWORD": PASSWORD, "PGSSLMODE": "disable"},
        KNOWN,
    ),
    "libpq's own beside others that agree": ({"PGHOST": HOST, "PGUSER": "me", "DATABASE_URL": URL}, KNOWN),
    "two that agree": ({**connector(PASSWORD=PASSWORD), "DATABASE_URL": URL}, KNOWN),
    "an incomplete one beside another": ({"DBNAME": "other", "PGUSER": "other", "DATABASE_URL": URL}, KNOWN),
    "an empty one beside another": ({"AZURE_POSTGRESQL_HOST": "", "DATABASE_URL": URL}, KNOWN),
    # Identities.
    "system-assigned identity": ({**connector(), **APP_SERVICE}, entra("ManagedIdentityCredential")),
    "system-assigned identity without USER": (
        {**connector(USER=""), **APP_SERVICE},
        {**entra("ManagedIdentityCredential"), "USER": ""},
    ),
    "user-assigned identity": (
        {**connector(CLIENTID="client"), **APP_SERVICE},
        entra("ManagedIdentityCredential", client_id="client"),
    ),
    "identity that AZURE_CLIENT_ID names": ({**connector(), **APP_SERVICE, "AZURE_CLIENT_ID": "client"}, entra()),
    "service principal": (
        connector(**PRINCIPAL),
        entra("ClientSecretCredential", tenant_id="tenant", client_id="client", client_secret="s3cret"),
    ),
    "workload identity": (
        {**connector(CLIENTID="client"), **AKS},
        entra("WorkloadIdentityCredential", client_id="client"),
    ),
    "a user": (connector(), entra()),
    "identity with a string": (
        {"AZURE_POSTGRESQL_CONNECTIONSTRING": LIBPQ, "AZURE_POSTGRESQL_CLIENTID": "client"},
        entra("ManagedIdentityCredential", client_id="client"),
    ),
}


def read(environ: Mapping[str, str], source: str = "", **wishes: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_environment(source, environ=environ, **wishes)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_becomes_an_entry(name: str) -> None:
    environ, expected = ENVIRONMENTS[name]
    entry = read(environ)
    assert entry == expected
    assert decide("default", entry, environ={}).errors == [] or "," in entry["HOST"]


ERRORS: dict[str, tuple[Environment, list[str]]] = {
    "no name": ({"AZURE_POSTGRESQL_HOST": HOST, "AZURE_POSTGRESQL_USER": "me"}, ["AZURE_POSTGRESQL_NAME is not set"]),
    "no host": (
        {"AZURE_POSTGRESQL_NAME": "app", "AZURE_POSTGRESQL_USER": "me", "AZURE_POSTGRESQL_PASSWORD": "x"},
        ["AZURE_POSTGRESQL_HOST is not set", "Found: AZURE_POSTGRESQL_NAME, AZURE_POSTGRESQL_PASSWORD, ", "full name"],
    ),
    "several": ({"DBHOST": "demo"}, ["DBNAME, DBUSER and DBPASS are not set. Found: DBHOST."]),
    "an empty password": (
        connector(PASSWORD=""),
        ["AZURE_POSTGRESQL_PASSWORD is set, but empty", "for a login by Microsoft Entra, remove the variable"],
    ),
    "no password for libpq": (
        {"PGHOST": HOST, "PGDATABASE": "app", "PGUSER": "me"},
        ["PGPASSWORD is not set", "auth='entra'"],
    ),
    "no password in a URL": ({"DATABASE_URL": f"azpg://me@{HOST}/app"}, ["DATABASE_URL has no password"]),
    "no password elsewhere than on Azure": (
        connector(HOST="db.example.com"),
        ["AZURE_POSTGRESQL_PASSWORD is not set"],
    ),
    "no name in a URL": ({"DATABASE_URL": f"azpg://me:x@{HOST}"}, ["DATABASE_URL has no name of a database"]),
    "half a service principal": (
        connector(CLIENTID="client", CLIENTSECRET="x"),
        ["AZURE_POSTGRESQL_TENANTID is not set"],
    ),
    "the other half": (connector(TENANTID="tenant"), ["_CLIENTID and AZURE_POSTGRESQL_CLIENTSECRET are not set"]),
    "an empty client secret": (
        connector(CLIENTID="client", CLIENTSECRET="", TENANTID="tenant"),
        ["AZURE_POSTGRESQL_CLIENTSECRET is set, but empty"],
    ),
    "a password and a client": (
        connector(PASSWORD="x", CLIENTID="client"),
        ["AZURE_POSTGRESQL_PASSWORD is set for a login by password", "AZURE_POSTGRESQL_CLIENTID"],
    ),
    "two sources": (
        {**connector(PASSWORD="x"), "DATABASE_URL": URL},
        ["AZURE_POSTGRESQL, DATABASE_URL", "from_environment('DATABASE_URL')"],
    ),
    "two sources, of which one has no password": ({**connector(), "DATABASE_URL": URL}, ["2 logins that differ"]),
    "two strings": (
        {"POSTGRESQLCONNSTR_a": URL, "POSTGRESQLCONNSTR_b": URL.replace("/app", "/other")},
        ["POSTGRESQLCONNSTR_a, POSTGRESQLCONNSTR_b"],
    ),
    "two spellings": (
        {**connector(PASSWORD="x"), "Azure_POSTGRESQL_HOST": "other." + HOST},
        ["AZURE_POSTGRESQL_HOST and Azure_POSTGRESQL_HOST are both set, and differ"],
    ),
    "an old name and a new one": (
        connector(PASSWORD="x", PASS="y"),
        ["AZURE_POSTGRESQL_PASS and AZURE_POSTGRESQL_PASSWORD are both set"],
    ),
    "a string and another name": (
        {**connector(PASSWORD=PASSWORD, NAME="x"), "AZURE_POSTGRESQL_CONNECTIONSTRING": DOTNET},
        ["AZURE_POSTGRESQL_CONNECTIONSTRING and AZURE_POSTGRESQL_NAME are both set, and differ"],
    ),
    "no string": ({"DATABASE_URL": "s3cret"}, ["DATABASE_URL is not a connection string"]),
    "another kind of URL": ({"DATABASE_URL": "sqlite:///s3cret"}, ["DATABASE_URL is a sqlite:// URL", "azpg://"]),
    "an unknown kind of URL": ({"DATABASE_URL": "s3cret://x"}, ["DATABASE_URL is a URL of another kind"]),
    "a URL in a part": (connector(HOST=URL), ["AZURE_POSTGRESQL_HOST holds a URL"]),
    "a slash in a URL's password": ({"DATABASE_URL": f"azpg://me:s3/cret@{HOST}/app"}, ["Percent-encode"]),
    "a question mark": ({"DATABASE_URL": f"azpg://me:s3?cret@{HOST}/app"}, ["Percent-encode"]),
    "an at and a slash": ({"DATABASE_URL": f"azpg://me:s3@cr/e@{HOST}/app"}, ["Percent-encode"]),
    "a pair in a password": ({"DATABASE_URL": f"azpg://me:12?s3=cret@{HOST}/app"}, ["Percent-encode"]),
    "no port in a URL": ({"DATABASE_URL": f"azpg://me:x@{HOST}:s3cret/app"}, ["not HOST:PORT"]),
    "a byte that is no text": ({"DATABASE_URL": f"azpg://me:s3%FFcret@{HOST}/app"}, ["not UTF-8"]),
    "a blank in a password": (
        {"DATABASE_URL": f"{LIBPQ} password=s3 cret"},
        ["not a connection string", "in quotes"],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_what_to_do(name: str) -> None:
    environ, words = ERRORS[name]
    with pytest.raises(ImproperlyConfigured) as caught:
        read(environ)
    for each in words:
        assert each in str(caught.value)
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "environ"),
    [
        ("ORDERS", connector("ORDERS", PASSWORD=PASSWORD)),
        ("orders_", connector("Orders", PASSWORD=PASSWORD)),
        ("ORDERS", {"ORDERS_URL": URL}),
        ("POSTGRES", {**connector("POSTGRES", PASSWORD=PASSWORD, NAME=""), "POSTGRES_DB": "app"}),
        ("ORDERS_URL", {"ORDERS_URL": URL}),
        ("main", {"POSTGRESQLCONNSTR_main": DOTNET}),
        ("POSTGRESQLCONNSTR_my-db", {"POSTGRESQLCONNSTR_my-db": DOTNET}),
        ("CUSTOMCONNSTR_main", {"CUSTOMCONNSTR_main": DOTNET}),
        ("PGHOST", {"PGHOST": HOST, "PGDATABASE": "app", "PGUSER": "me", "PGPASSWORD": PASSWORD}),
        ("DBHOST", {"DBHOST": HOST, "DBNAME": "app", "DBUSER": "me", "DBPASS": PASSWORD}),
        ("AZURE_POSTGRESQL", connector("Azure_POSTGRESQL", PASSWORD=PASSWORD)),
    ],
)
def test_a_source_is_chosen_by_name(source: str, environ: Environment) -> None:
    other = {"DATABASE_URL": "azpg://other:other@other.postgres.database.azure.com/other"}
    assert read({**other, **environ}, source) == KNOWN


def test_a_source_that_is_a_url_is_not_shown() -> None:
    with pytest.raises(ImproperlyConfigured, match="not the name of a variable") as caught:
        read({}, "azpg://me:s3cret@host/app")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("source", ["", "AZURE_POSTGRESQL", "DATABASE_URL"])
def test_an_image_can_be_built_without_a_database(source: str) -> None:
    with pytest.warns(UserWarning, match="Connecting will fail"):
        entry = from_environment(source, environ={"AZURE_POSTGRESQL_HOST": "", "DATABASE_URL": ""})
    assert [each.id for each in decide("default", entry, environ={}).errors] == ["azpg.E003", "azpg.E009"]


def test_the_default_is_for_a_laptop_only() -> None:
    assert read({}, default=URL) == KNOWN
    assert read({"PGUSER": "you", "PGPASSWORD": "x", "PGDATABASE": "other"}, default=URL) == KNOWN
    assert read(connector(PASSWORD="x"), default=URL)["PASSWORD"] == "x"
    with pytest.raises(ImproperlyConfigured, match="DBHOST, DBUSER and DBPASS are not set"):
        read({"DBNAME": "app"}, default=URL)
    with pytest.warns(UserWarning, match="Connecting will fail"):
        assert from_environment(default=URL, environ={"WEBSITE_HOSTNAME": "x"})["HOST"] == ""


@pytest.mark.parametrize("server", ["demo", "DEMO", HOST])
def test_the_retired_form_of_a_user_is_warned_about(server: str) -> None:
    for environ in (
        connector(USER=f"me@{server}", PASSWORD="x"),
        {"DATABASE_URL": f"azpg://me@{server}:x@{HOST}/app"},
    ):
        with pytest.warns(UserWarning, match="the form user@server") as caught:
            assert from_environment(environ=environ)["USER"] == f"me@{server}"
        assert caught[0].filename == __file__


def test_a_user_principal_name_is_not() -> None:
    assert read(connector(USER="me@contoso.com", PASSWORD="x"))["USER"] == "me@contoso.com"


def test_libpqs_own_variables_yield_and_are_named() -> None:
    with pytest.warns(UserWarning, match="DATABASE_URL and PGHOST lead to different logins; DATABASE_URL counts"):
        entry = from_environment(environ={"PGHOST": "localhost", "PGPORT": "1", "PGUSER": "you", "DATABASE_URL": URL})
    assert entry == KNOWN


@pytest.mark.parametrize("auth", ["entra", "password"])
def test_the_caller_may_say_how_to_log_in(auth: str) -> None:
    environ = {"DATABASE_URL": f"azpg://me@{HOST}/app"} if auth == "entra" else {"DATABASE_URL": URL}
    assert read(environ, auth=auth) == (entra() if auth == "entra" else KNOWN)
    with pytest.raises(ImproperlyConfigured):
        read({"DATABASE_URL": URL if auth == "entra" else f"azpg://me@{HOST}/app"}, auth=auth)
    with pytest.raises(ImproperlyConfigured, match="neither"):
        read({"DATABASE_URL": URL}, auth="token")


def test_the_engine_is_the_callers() -> None:
    assert read({"DATABASE_URL": URL}, engine="shop.engine")["ENGINE"] == "shop.engine"


def test_nothing_heavy_is_imported() -> None:
    code = "import azpg_backend.settings, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout.split()
    heavy = ("psycopg", "psycopg2", "azure", "cryptography", "requests", "django.conf", "django.db", "dj_database_url")
    assert not [name for name in loaded if name.startswith(heavy)]
