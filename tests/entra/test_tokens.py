"""Logging in with Microsoft Entra tokens, by the real azure-identity and a real PostgreSQL over TLS."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError

from azpg_backend import entra, hosts
from azpg_backend.options import Options
from demo_project.localpg import Chain, LocalPostgres
from tests.conftest import Settings, SettingsFor
from tests.diagnosis.conftest import Check, check, codes, report
from tests.entra.identity import HEADER, IdentityEndpoint, reply, serving, unsigned_token

__all__ = ["check", "report"]

pytest.importorskip("azure.identity", reason="the extra 'entra' is not installed")

Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def token_server(chain: Chain) -> Iterator[LocalPostgres]:
    """A server that takes tokens for the role shop-identity."""
    with LocalPostgres(chain, hba=["hostssl all shop-identity 127.0.0.1/32 password"]) as running:
        running.create("shop-identity", "none-yet", "app")
        yield running


@pytest.fixture
def endpoint(token_server: LocalPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    """An app with a managed identity, whose role is called shop-identity."""
    entra.forget()
    identity = IdentityEndpoint(token_server, "shop-identity")
    with serving(identity) as address:
        monkeypatch.setenv("IDENTITY_ENDPOINT", address)
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        yield identity
    entra.forget()


@pytest.fixture
def settings(token_server: LocalPostgres, settings_for: SettingsFor, endpoint: IdentityEndpoint) -> Settings:
    azpg = {"auth": "entra", "credential": "azure.identity.ManagedIdentityCredential", "connect_retry_seconds": 0}
    return settings_for(token_server, {"azpg": azpg}, USER="shop-identity", PASSWORD="")


def who(wrapper: Any) -> str:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_user")
        name: str = cursor.fetchone()[0]
        return name


def test_a_token_is_the_password(settings: Settings, connect: Connect, endpoint: IdentityEndpoint) -> None:
    assert who(connect(settings)) == "shop-identity"
    assert endpoint.asked == [
        {"api-version": ["2019-08-01"], "resource": ["https://ossrdbms-aad.database.windows.net"]}
    ]


def test_the_default_credential_finds_the_identity(
    settings: Settings, connect: Connect, endpoint: IdentityEndpoint
) -> None:
    del settings["OPTIONS"]["azpg"]["credential"]
    assert who(connect(settings)) == "shop-identity"
    assert len(endpoint.asked) == 1


def test_a_user_assigned_identity_by_its_client_id(
    settings: Settings, connect: Connect, endpoint: IdentityEndpoint
) -> None:
    settings["OPTIONS"]["azpg"]["credential_kwargs"] = {"client_id": "11111111-2222-3333-4444-555555555555"}
    assert who(connect(settings)) == "shop-identity"
    assert endpoint.asked[0]["client_id"] == ["11111111-2222-3333-4444-555555555555"]


@pytest.mark.parametrize(
    ("host", "resource"),
    [
        ("a.postgres.database.azure.com", "https://ossrdbms-aad.database.windows.net"),
        ("a.postgres.database.usgovcloudapi.net", "https://ossrdbms-aad.database.usgovcloudapi.net"),
        ("a.postgres.database.chinacloudapi.cn", "https://ossrdbms-aad.database.chinacloudapi.cn"),
        ("a.postgres.database.sovcloud-api.fr", "https://ossrdbms-aad.database.sovcloud-api.fr"),
        ("db.example.org", "https://ossrdbms-aad.database.windows.net"),
    ],
)
def test_the_scope_follows_the_cloud(host: str, resource: str) -> None:
    from azpg_backend.hosts import Endpoint

    provider = entra.provider_for(Options(auth="entra"), [Endpoint(host, "", 5432)])
    assert provider.scope == f"{resource}/.default"
    own = entra.provider_for(Options(auth="entra", scope="https://own/.default"), [Endpoint(host, "", 5432)])
    assert own.scope == "https://own/.default"


@pytest.mark.parametrize(
    ("host", "environ", "authority"),
    [
        ("a.postgres.database.azure.com", {}, "https://login.microsoftonline.com"),
        ("a.postgres.database.usgovcloudapi.net", {}, "https://login.microsoftonline.us"),
        ("a.postgres.database.chinacloudapi.cn", {}, "https://login.chinacloudapi.cn"),
        ("a.postgres.database.usgovcloudapi.net", {"AZURE_AUTHORITY_HOST": "https://own"}, None),
    ],
)
def test_the_default_credential_asks_the_cloud_s_login_service(
    monkeypatch: pytest.MonkeyPatch, host: str, environ: dict[str, str], authority: str | None
) -> None:
    import azure.identity

    given: list[Any] = []
    monkeypatch.setattr(
        azure.identity, "DefaultAzureCredential", type("Fake", (), {"__init__": lambda self, **k: given.append(k)})
    )
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    cloud = hosts.cloud_of(host)
    assert cloud is not None
    entra.make_credential(Options(auth="entra"), cloud)
    assert given == [{"authority": authority} if authority else {}]


@pytest.mark.parametrize("size", [1500, 4000])
def test_long_tokens(settings: Settings, connect: Connect, endpoint: IdentityEndpoint, size: int) -> None:
    endpoint.size = size
    assert who(connect(settings)) == "shop-identity"
    assert len(endpoint.given[0]) > size


# One token, many connections


def test_fifty_connections_in_eight_threads_ask_once(
    settings: Settings, connect: Connect, endpoint: IdentityEndpoint
) -> None:
    wrapper = connect(settings)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(7):
                each = type(wrapper)(wrapper.settings_dict, "default")
                assert who(each) == "shop-identity"
                each.close()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(endpoint.asked) == 1


class Stub:
    """A credential of one's own: gives numbered tokens of a lifetime, slowly or not at all."""

    def __init__(self, lifetime: float = 3600, delay: float = 0) -> None:
        self.lifetime = lifetime
        self.delay = delay
        self.asked = 0
        self.broken = False

    def get_token(self, *scopes: str) -> Any:
        from azure.core.credentials import AccessToken

        self.asked += 1
        time.sleep(self.delay)
        if self.broken:
            raise RuntimeError("the service is down: sentinel-secret")
        return AccessToken(f"token-{self.asked}", int(time.time() + self.lifetime))


def provider(stub: Stub) -> entra.TokenProvider:
    return entra.TokenProvider(lambda: stub, "scope", ["sentinel-secret"])


def test_renewal_happens_before_the_end_and_nobody_waits_for_it() -> None:
    stub = Stub(lifetime=4)
    tokens = provider(stub)
    assert tokens.get().value == "token-1"
    stub.delay = 0.5
    time.sleep(2.2)
    started = time.monotonic()
    assert tokens.get().value == "token-1"
    assert time.monotonic() - started < 0.2
    time.sleep(0.8)
    assert tokens.get().value == "token-2"
    assert stub.asked == 2


def test_a_failed_renewal_is_a_warning_while_the_old_token_lives(caplog: pytest.LogCaptureFixture) -> None:
    stub = Stub(lifetime=4)
    tokens = provider(stub)
    tokens.get()
    stub.broken = True
    time.sleep(2.2)
    with caplog.at_level(logging.WARNING, "azpg_backend"):
        for _ in range(20):
            assert tokens.get().value == "token-1"
        time.sleep(0.3)
    assert len(caplog.records) == 1
    assert "could not be renewed" in caplog.text
    assert "sentinel-secret" not in caplog.text
    assert stub.asked == 2
    # When it has ended there is nothing left to serve.
    time.sleep(2)
    with pytest.raises(entra.TokenError, match="the service is down: \\*+"):
        tokens.get()


def test_two_identities_never_share() -> None:
    one, other = Stub(), Stub()
    first = entra.provider_for(Options(auth="entra", credential=one), [])
    second = entra.provider_for(Options(auth="entra", credential=other), [])
    assert first is not second
    assert first is entra.provider_for(Options(auth="entra", credential=one), [])
    by_kwargs = [
        entra.provider_for(Options(auth="entra", credential="a.b", credential_kwargs={"client_id": name}), [])
        for name in ("a", "b")
    ]
    assert by_kwargs[0] is not by_kwargs[1]
    entra.forget()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_process_does_not_wait_for_its_parent_s_lock() -> None:
    stub = Stub(delay=5)
    options = Options(auth="entra", credential=stub)
    thread = threading.Thread(target=entra.provider_for(options, []).get, daemon=True)
    thread.start()
    time.sleep(0.3)
    stub.delay = 0
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(0 if entra.provider_for(options, []).get().value else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    entra.forget()


# Refusals and faults


def test_a_refused_token_is_replaced_exactly_once(
    settings: Settings, connect: Connect, endpoint: IdentityEndpoint, token_server: LocalPostgres
) -> None:
    assert who(connect(settings)) == "shop-identity"
    token_server.sql("ALTER ROLE \"shop-identity\" PASSWORD 'revoked'")
    assert who(connect(settings)) == "shop-identity"
    assert len(endpoint.asked) == 2
    # Where the fresh one is refused too, that is the answer.
    endpoint.role = "postgres"
    token_server.sql("ALTER ROLE \"shop-identity\" PASSWORD 'revoked'")
    endpoint.server = Elsewhere()  # type: ignore[assignment]
    with pytest.raises(OperationalError, match="password authentication failed"):
        who(connect(settings))
    assert len(endpoint.asked) == 3


class Elsewhere:
    """A server that is not the one we log in to."""

    def sql(self, statement: str) -> None:
        pass


def test_a_token_that_ended_is_not_presented(settings: Settings, connect: Connect, endpoint: IdentityEndpoint) -> None:
    endpoint.lifetime = 2
    for _ in range(3):
        assert who(connect(settings)) == "shop-identity"
        time.sleep(1.6)
    assert len(endpoint.asked) >= 2


def error_500(handler: BaseHTTPRequestHandler) -> bool:
    reply(handler, 500, {"message": "down"})
    return True


def not_json(handler: BaseHTTPRequestHandler) -> bool:
    reply(handler, 200, b"<html>")
    return True


def no_token(handler: BaseHTTPRequestHandler) -> bool:
    reply(handler, 200, {"error": "no identity"})
    return True


@pytest.mark.parametrize("fault", [not_json, no_token])
def test_an_identity_endpoint_that_fails(
    settings: Settings, connect: Connect, endpoint: IdentityEndpoint, fault: Callable[..., bool]
) -> None:
    endpoint.fault = fault
    with pytest.raises(OperationalError) as caught:
        who(connect(settings))
    text = str(caught.value)
    assert text.startswith("no Microsoft Entra token: ")
    assert "managed identity" in text
    assert "Run: manage.py azpg_check default" in text


def test_a_short_outage_of_the_identity_endpoint_is_not_noticed(
    settings: Settings, connect: Connect, endpoint: IdentityEndpoint
) -> None:
    """azure-identity itself tries again after 500 and 429."""
    failures = [True]

    def once(handler: BaseHTTPRequestHandler) -> bool:
        return bool(failures and failures.pop() and error_500(handler))

    endpoint.fault = once
    assert who(connect(settings)) == "shop-identity"


def test_no_identity_at_all(settings: Settings, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def get_token(self, *scopes: str) -> Any:
            raise RuntimeError("no identity on this machine")

    settings["OPTIONS"]["azpg"]["credential"] = Nothing()
    with pytest.raises(OperationalError, match="no Microsoft Entra token: no identity on this machine"):
        who(connect(settings))


def test_a_credential_that_can_not_be_imported(settings: Settings, connect: Connect) -> None:
    settings["OPTIONS"]["azpg"]["credential"] = "azure.identity_not_there.Credential"
    with pytest.raises(ImproperlyConfigured, match=r'pip install "django-azpg\[entra\]"'):
        who(connect(settings))


# Names


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"upn": "ada@contoso.com"}, "ada@contoso.com"),
        ({"preferred_username": "ada@contoso.com"}, "ada@contoso.com"),
        ({"unique_name": "ada@contoso.com"}, "ada@contoso.com"),
        (
            {"xms_mirid": "/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop"},
            "shop",
        ),
        ({"xms_mirid": "/subscriptions/s/providers/Microsoft.Web/sites/shop-app"}, "shop-app"),
        ({"app_displayname": "nightly-job"}, "nightly-job"),
        ({"appid": "1234"}, ""),
    ],
)
def test_the_name_that_a_token_implies(claims: dict[str, str], name: str) -> None:
    token = entra.Token(unsigned_token(claims), 0, 0, 0)
    assert token.identity == name


@pytest.mark.parametrize("value", ["", "nonsense", "a.b.c", "a.!!.c", "..", "a.bnVsbA.c"])
def test_a_token_that_can_not_be_read_has_no_claims(value: str) -> None:
    assert entra.Token(value, 0, 0, 0).claims == {}


def test_user_is_taken_from_the_token(settings: Settings, connect: Connect, endpoint: IdentityEndpoint) -> None:
    endpoint.claims["xms_mirid"] = "/subscriptions/s/providers/Microsoft.Web/sites/shop-identity"
    assert who(connect({**settings, "USER": ""})) == "shop-identity"


def test_without_a_name_the_error_says_which_to_put(settings: Settings, connect: Connect) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Set USER to the name of the role"):
        who(connect({**settings, "USER": ""}))


# Every path


@pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
def test_a_pool_s_later_connections_get_a_live_token(
    settings: Settings, connect: Connect, endpoint: IdentityEndpoint, token_server: LocalPostgres
) -> None:
    settings["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 6, "timeout": 10}
    wrapper = connect(settings, alias="pooled")
    assert who(wrapper) == "shop-identity"
    token_server.sql("ALTER ROLE \"shop-identity\" PASSWORD 'revoked'")
    # The first connections are taken, so these are opened by the pool, in its own threads.
    others = [type(wrapper)(wrapper.settings_dict, "pooled") for _ in range(4)]
    assert [who(each) for each in others] == ["shop-identity"] * 4
    assert len(endpoint.asked) == 2
    for each in others:
        each.close()


@pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
def test_a_pool_that_can_not_log_in_says_why(settings: Settings, connect: Connect, endpoint: IdentityEndpoint) -> None:
    settings["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 1, "timeout": 2}
    endpoint.server = Elsewhere()  # type: ignore[assignment]
    with pytest.raises(OperationalError) as caught:
        who(connect(settings, alias="pooled"))
    assert "couldn't get a connection" in str(caught.value)
    assert 'password authentication failed for user "shop-identity"' in str(caught.value)
    assert "-> the password is wrong" in str(caught.value)


def test_dbshell_gets_a_token(settings: Settings, endpoint: IdentityEndpoint) -> None:
    from azpg_backend.client import DatabaseClient

    arguments, environment = DatabaseClient.settings_to_cmd_args_env(settings, [])
    assert environment is not None
    assert environment["PGPASSWORD"] == endpoint.given[-1]
    assert not any(endpoint.given[-1] in argument for argument in arguments)


def test_dbshell_without_a_token_says_so(settings: Settings, endpoint: IdentityEndpoint) -> None:
    from azpg_backend.client import DatabaseClient

    endpoint.fault = no_token
    with pytest.raises(CommandError, match="no Microsoft Entra token"):
        DatabaseClient.settings_to_cmd_args_env(settings, [])


def test_the_check_shows_who_logs_in(settings: Settings, check: Check, endpoint: IdentityEndpoint) -> None:
    endpoint.claims["xms_mirid"] = "/subscriptions/s/providers/Microsoft.Web/sites/shop-identity"
    steps = check(settings)
    assert codes(steps) == []
    token = steps["login"].detail["token"]
    assert token["credential"] == "ManagedIdentityCredential"
    assert token["identity"] == "shop-identity"
    assert token["tenant"] == "tenant"
    assert token["audience"] == "https://ossrdbms-aad.database.windows.net"
    assert 3000 < token["expires_in_seconds"] <= 3600
    assert not any(given in repr(steps) for given in endpoint.given)


def test_the_check_without_a_token(settings: Settings, check: Check, endpoint: IdentityEndpoint) -> None:
    endpoint.fault = no_token
    steps = check(settings)
    assert codes(steps) == ["login.token_failed"]
    assert "managed identity" in (steps["login"].hint or "")


# What protects a token


@pytest.mark.parametrize(
    ("options", "changes", "identifier"),
    [
        ({}, {"PASSWORD": "x"}, "azpg.E006"),
        ({"password": "x"}, {}, "azpg.E006"),
        ({"sslmode": "verify-ca"}, {}, "azpg.E007"),
        ({"channel_binding": "require"}, {}, "azpg.E002"),
        ({"require_auth": "scram-sha-256"}, {}, "azpg.E002"),
    ],
)
def test_settings_that_do_not_go_with_a_token(
    settings: Settings, connect: Connect, options: dict[str, str], changes: dict[str, str], identifier: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=identifier):
        who(connect({**settings, **changes, "OPTIONS": {**settings["OPTIONS"], **options}}))


def test_plaintext_is_never_for_a_token(settings: Settings, connect: Connect) -> None:
    settings["OPTIONS"]["azpg"]["plaintext_on_loopback"] = True
    with pytest.raises(ImproperlyConfigured, match=r"azpg\.E007"):
        who(connect({**settings, "HOST": "localhost"}))


def test_what_the_environment_asks_of_passwords_does_not_stop_a_token(
    settings: Settings, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGREQUIREAUTH", "scram-sha-256")
    monkeypatch.setenv("PGCHANNELBINDING", "require")
    assert who(connect(settings)) == "shop-identity"
