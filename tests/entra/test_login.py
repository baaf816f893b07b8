"""Logging in with a token: real azure-identity, a local stand-in that issues, PostgreSQL that takes it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.utils import OperationalError

from azpg_backend.client import DatabaseClient
from azpg_backend.entra import login
from azpg_backend.plan import decision
from demo_project.localpg import Chain, LocalPostgres
from tests.support.gateway import Gateway, gateway
from tests.support.https import certified
from tests.support.outputs import outputs
from tests.support.settings import EntraSettings
from tests.support.sql import user_of
from tests.support.standins import TENANT, UAMI, Issuer, jwt, serving

Connect = Callable[..., Any]


@pytest.mark.parametrize("size", [1500, 4000])
def test_postgresql_takes_the_token_as_the_roles_password(
    issuer: Issuer, token_server: LocalPostgres, entra_settings: EntraSettings, connect: Connect, size: int
) -> None:
    token = jwt({"xms_mirid": UAMI + "app"}, size)
    assert abs(len(token) - size) < 20
    issuer.fixed[""] = token
    token_server.sql(f"ALTER ROLE app PASSWORD '{token}'")
    assert user_of(connect(entra_settings(token_server.port))) == "app"
    (asked,) = issuer.requests
    assert asked["resource"] == "https://ossrdbms-aad.database.windows.net"


def test_the_default_credential_finds_app_services_identity(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    assert user_of(connect(entra_settings(azure.port, {"credential": None}))) == "app"


def test_the_vm_metadata_service(
    azure: Gateway,
    issuer: Issuer,
    entra_settings: EntraSettings,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.delenv("IDENTITY_HEADER")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", issuer.url)
    settings = entra_settings(azure.port, {"credential_kwargs": {"client_id": "my-identity"}})
    assert user_of(connect(settings)) == "app"
    assert issuer.requests[0]["client_id"] == "my-identity"


@pytest.mark.parametrize("kind", ["secret", "environment", "workload"])
def test_a_service_principal_and_workload_identity_over_https(
    token_server: LocalPostgres,
    chain: Chain,
    entra_settings: EntraSettings,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    kind: str,
) -> None:
    context, root_pem = certified("localhost")
    (tmp_path / "ca.pem").write_text(root_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with serving(Issuer(claims={"": {"appid": "app-id", "idtyp": "app"}}), context) as issuer:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", issuer.url)
        known = {"client_id": "app-id", "tenant_id": TENANT}
        if kind == "secret":
            path, arguments = "ClientSecretCredential", {**known, "client_secret": "s3cret"}
        else:
            path, arguments = "EnvironmentCredential", {}
            monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
            monkeypatch.setenv("AZURE_CLIENT_ID", "app-id")
            monkeypatch.setenv("AZURE_CLIENT_SECRET", "s3cret")
        if kind == "workload":
            (tmp_path / "federated").write_text(jwt({"sub": "system:serviceaccount:app:app"}))
            path, arguments = "WorkloadIdentityCredential", {**known, "token_file_path": str(tmp_path / "federated")}
        arguments["disable_instance_discovery"] = True
        azpg = {"credential": f"azure.identity.{path}", "credential_kwargs": arguments}
        with gateway(issuer, token_server, chain) as azure:
            assert user_of(connect(entra_settings(azure.port, azpg))) == "app"
    (asked,) = issuer.requests
    assert asked["scope"].startswith("https://ossrdbms-aad.database.windows.net/.default")
    assert ("client_assertion" in asked) == (kind == "workload")


def test_fifty_connections_in_eight_threads_make_one_request(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    issuer.before = lambda number: time.sleep(0.3)
    settings = entra_settings(azure.port)

    def one(number: int) -> str:
        wrapper = connect(settings, f"alias{number}")
        wrapper.inc_thread_sharing()
        try:
            return user_of(wrapper)
        finally:
            wrapper.close()

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(one, range(50))) == {"app"}
    assert len(issuer.requests) == 1
    assert azure.accepted == 50


@pytest.mark.parametrize("credential", ["path", "class", "instance", "factory"])
def test_every_form_of_a_credential(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect, credential: str
) -> None:
    from azure.identity import ManagedIdentityCredential

    forms = {
        "path": "azure.identity.ManagedIdentityCredential",
        "class": ManagedIdentityCredential,
        "instance": ManagedIdentityCredential(client_id="one"),
        "factory": lambda **kwargs: ManagedIdentityCredential(**kwargs),
    }
    azpg: dict[str, Any] = {"credential": forms[credential]}
    if credential != "instance":
        azpg["credential_kwargs"] = {"client_id": "one"}
    assert user_of(connect(entra_settings(azure.port, azpg))) == "app"
    assert [each["client_id"] for each in issuer.requests] == ["one"]


def test_two_identities_in_one_process_never_share_a_token(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect, token_server: LocalPostgres
) -> None:
    token_server.sql("DROP ROLE IF EXISTS other; CREATE ROLE other LOGIN")
    issuer.claims = {"one": {"xms_mirid": UAMI + "app"}, "two": {"xms_mirid": UAMI + "other"}}
    for _ in range(3):
        for client, user in (("one", "app"), ("two", "other")):
            settings = entra_settings(azure.port, {"credential_kwargs": {"client_id": client}})
            assert user_of(connect({**settings, "USER": ""})) == user
    assert [each["client_id"] for each in issuer.requests] == ["one", "two"]


def test_a_refused_token_is_replaced_exactly_once(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    settings = entra_settings(azure.port)
    assert user_of(connect(settings)) == "app"
    azure.revoked = set(issuer.issued)
    assert user_of(connect(settings)) == "app"
    assert len(issuer.requests) == 2
    assert len(azure.refused) == 1


def test_a_fresh_token_that_is_refused_too_is_not_replaced_by_every_login(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    azure.judge = lambda token: "The access token is not valid. Reason: AAD_AUTH_TOKENTYPE"  # type: ignore[method-assign]
    for refusals in (2, 3, 4):
        with pytest.raises(OperationalError, match="USER must be the exact name"):
            user_of(connect(entra_settings(azure.port)))
        assert len(azure.refused) == refusals
    assert len(issuer.requests) == 2


def test_an_instances_own_cache_is_passed_by_when_its_token_is_refused(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    from azure.identity import ManagedIdentityCredential

    settings = entra_settings(azure.port, {"credential": ManagedIdentityCredential()})
    assert user_of(connect(settings)) == "app"
    azure.revoked = set(issuer.issued)
    assert user_of(connect(settings)) == "app"
    assert len(issuer.requests) == 2


def test_other_failures_fetch_no_token_again(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    with pytest.raises(OperationalError, match="does not exist"):
        user_of(connect({**entra_settings(azure.port), "NAME": "nowhere"}))
    assert len(issuer.requests) == 1


@pytest.mark.parametrize(
    "claims, user",
    [
        ({"upn": "app@contoso.com"}, "app@contoso.com"),
        ({"preferred_username": "app@contoso.com"}, "app@contoso.com"),
        ({"unique_name": "app@contoso.com"}, "app@contoso.com"),
        ({"upn": "me_home.com#EXT#@contoso.onmicrosoft.com"}, "me_home.com#EXT#@contoso.onmicrosoft.com"),
        ({"xms_mirid": UAMI + "my-identity", "appid": "1-2"}, "my-identity"),
        ({"xms_mirid": "/subscriptions/0/resourcegroups/demo/providers/Microsoft.Web/sites/my-app"}, "my-app"),
        ({"xms_mirid": "/subscriptions/0/x/providers/Microsoft.Web/sites/a/slots/staging"}, "a/slots/staging"),
    ],
)
def test_the_user_name_follows_from_the_token(
    issuer: Issuer,
    azure: Gateway,
    entra_settings: EntraSettings,
    connect: Connect,
    claims: dict[str, str],
    user: str,
    token_server: LocalPostgres,
) -> None:
    issuer.claims = {"": claims}
    token_server.sql(f'DROP ROLE IF EXISTS "{user}"; CREATE ROLE "{user}" LOGIN')
    assert user_of(connect({**entra_settings(azure.port), "USER": ""})) == user


@pytest.mark.parametrize(
    "claims, words",
    [
        ({"idtyp": "app", "appid": "1-2"}, "az ad sp show --id 1-2"),
        ({"unique_name": "me@home.com", "idp": "live.com", "appid": "1-2"}, "#EXT#"),
        ({"unique_name": "live.com#me@home.com"}, "#EXT#"),
        ({}, "pgaadauth_list_principals"),
    ],
)
def test_where_no_user_name_follows_the_error_says_which_to_put(
    issuer: Issuer, entra_settings: EntraSettings, connect: Connect, claims: dict[str, str], words: str
) -> None:
    issuer.claims = {"": claims}
    with pytest.raises(ImproperlyConfigured) as raised:
        user_of(connect({**entra_settings(1), "USER": ""}))
    assert words in str(raised.value)
    assert "DATABASES['default']['USER'] is empty" in str(raised.value)


def test_the_users_name_in_the_environment_counts(
    issuer: Issuer,
    azure: Gateway,
    entra_settings: EntraSettings,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer.claims = {"": {}}
    monkeypatch.setenv("PGUSER", "app")
    assert user_of(connect({**entra_settings(azure.port), "USER": ""})) == "app"


@pytest.mark.parametrize(
    "host, scope",
    [
        ("a.postgres.database.azure.com", "https://ossrdbms-aad.database.windows.net/.default"),
        ("a.postgres.database.usgovcloudapi.net", "https://ossrdbms-aad.database.usgovcloudapi.net/.default"),
        ("a.postgres.database.chinacloudapi.cn", "https://ossrdbms-aad.database.chinacloudapi.cn/.default"),
        ("a.postgres.database.sovcloud-api.fr", "https://ossrdbms-aad.database.sovcloud-api.fr/.default"),
        ("db.internal", "https://ossrdbms-aad.database.windows.net/.default"),
    ],
)
def test_the_scope_follows_the_hosts_cloud(host: str, scope: str) -> None:
    def source(**azpg: Any) -> login.Source:
        settings = {"NAME": "app", "HOST": host, "OPTIONS": {"azpg": {"auth": "entra", **azpg}}}
        return login.source_of(decision.decide("default", settings, environ={}))

    assert source().scope == scope
    assert source(scope="api://own/.default").scope == "api://own/.default"
    sovereign = "azure.com" not in host and "internal" not in host
    assert ("authority" in source().kwargs) == sovereign


def test_without_azure_identity_the_extra_is_named(
    entra_settings: EntraSettings, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ImproperlyConfigured, match=r'pip install "django-azpg\[entra\]"'):
        user_of(connect(entra_settings(1, {"credential": None})))


def test_password_logins_do_not_import_azure() -> None:
    script = (
        "import sys, django; from django.conf import settings; settings.configure(DATABASES={'default': {"
        "'ENGINE': 'azpg_backend', 'NAME': 'a', 'USER': 'a', 'HOST': 'a.postgres.database.azure.com'}},"
        "INSTALLED_APPS=['azpg_backend']); django.setup()\n"
        "from django.db import connection; connection.get_connection_params(); "
        "from django.core.management import call_command; call_command('check')\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('azure', 'msal')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "azpg, words",
    [
        ({"credential": "azure.identity.NoSuchCredential"}, "NoSuchCredential"),
        ({"credential": "nowhere.Credential"}, "nowhere"),
        ({"credential_kwargs": {"identity_config": 5}}, "ManagedIdentityCredential"),
        ({"credential": "azure.identity.aio.ManagedIdentityCredential"}, "asynchronous"),
    ],
)
def test_a_credential_that_can_not_be_used(
    issuer: Issuer, entra_settings: EntraSettings, connect: Connect, azpg: dict[str, Any], words: str
) -> None:
    if ".aio." in str(azpg.get("credential")):
        pytest.importorskip("aiohttp")
    with pytest.raises(ImproperlyConfigured, match=words):
        user_of(connect(entra_settings(1, azpg)))


def test_migrations_and_test_databases_log_in_with_a_token(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, databases: Callable[..., None]
) -> None:
    databases(default={**entra_settings(azure.port), "USER": ""})
    call_command("migrate", verbosity=0)
    wrapper = connections["default"]
    wrapper.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        assert wrapper.settings_dict["NAME"] == "test_app"
        assert user_of(wrapper) == "app"
    finally:
        wrapper.creation.destroy_test_db("app", verbosity=0)
        call_command("migrate", "notes", "zero", verbosity=0)
    assert len(issuer.requests) == 1


def test_dbshell_gets_a_token_by_the_environment(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, databases: Callable[..., None], capfd: Any
) -> None:
    databases(default={**entra_settings(azure.port), "USER": ""})
    call_command("dbshell", "--", "-X", "-A", "-t", "-c", "SELECT current_user")
    assert capfd.readouterr().out.strip() == "app"
    arguments, env = DatabaseClient.settings_to_cmd_args_env(connections["default"].settings_dict, [])
    assert env is not None
    (token,) = issuer.issued
    assert env["PGPASSWORD"] == token
    assert not any(token in each for each in arguments)
    assert token not in str(os.environ)


def test_dbshell_without_a_token_says_why(
    issuer: Issuer, entra_settings: EntraSettings, databases: Callable[..., None]
) -> None:
    issuer.before = lambda number: (400, '{"statusCode": 400, "message": "No User Assigned identity"}', {})
    databases(default=entra_settings(1))
    with pytest.raises(CommandError, match="az webapp identity assign"):
        call_command("dbshell")


def test_nothing_that_we_emit_holds_a_token(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, databases: Callable[..., None]
) -> None:
    databases(default=entra_settings(azure.port, {"credential_kwargs": {"client_id": "one"}}))
    azure.judge = lambda token: f"The access token has invalid format: {token}"  # type: ignore[method-assign]
    for run in (
        lambda: connections["default"].cursor(),
        lambda: call_command("azpg_check", "--offline", "--timeout", "3"),
        lambda: call_command("azpg_check", "--offline", "--timeout", "3", "--format", "json"),
        lambda: print(repr(login._keepers), repr(login.login_for(connections["default"].plan()))),
        lambda: print(repr(connections["default"].get_connection_params())),
    ):
        text = outputs(run)
        assert text.strip()
        for token in issuer.issued:
            assert token not in text
            assert token[:60] not in text
