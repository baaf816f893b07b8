"""azpg_check's login step with a token: whose it is and how long it lives, or why there is none."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tests.support.diagnosis import step
from tests.support.gateway import Gateway
from tests.support.settings import EntraSettings
from tests.support.standins import RESOURCE, TENANT, UAMI, Issuer

Databases = Callable[..., None]


def test_it_shows_credential_identity_audience_and_lifetime(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, databases: Databases
) -> None:
    databases(default={**entra_settings(azure.port), "USER": ""})
    login = step("login")
    assert login["status"] == "pass", login
    shown = dict(login["detail"]["token"])
    assert 3500 < shown.pop("expires_in_seconds") <= 3600
    (token,) = issuer.issued
    assert (login["detail"]["user"], login["detail"]["method"]) == ("app", "entra")
    assert shown == {
        "credential": "ManagedIdentityCredential",
        "identity_kind": "user-assigned identity",
        "identity": "app",
        "tenant": TENANT,
        "audience": RESOURCE,
        "length": len(token),
    }
    assert login["message"].startswith("app on app (Microsoft Entra token of user-assigned identity app by Managed")
    assert token[:60] not in str(login)


def test_no_identity_on_the_host(issuer: Issuer, azure: Gateway, entra_settings: Any, databases: Databases) -> None:
    issuer.before = lambda number: (400, '{"statusCode": 400, "message": "No User Assigned identity found"}', {})
    databases(default=entra_settings(azure.port))
    login = step("login")
    assert (login["status"], login["code"]) == ("fail", "login.token_failed")
    assert "No User Assigned identity found" in login["message"]
    assert "az webapp identity assign" in login["hint"]


def test_a_name_that_does_not_follow(issuer: Issuer, azure: Gateway, entra_settings: Any, databases: Databases) -> None:
    issuer.claims = {"": {"idtyp": "app", "appid": "1-2"}}
    databases(default={**entra_settings(azure.port), "USER": ""})
    login = step("login")
    assert login["code"] == "login.token_failed"
    assert "az ad sp show --id 1-2" in login["message"]


@pytest.mark.parametrize(
    "said, words",
    [
        ("Could not validate AAD user <x> due to error: the access token has expired", "expired"),
        ("Azure AD access token not valid for role app", "exact name"),
        ("Azure AD access token does not have a valid audience claim", "'scope'"),
    ],
)
def test_what_the_server_says_of_a_token(
    issuer: Issuer, azure: Gateway, entra_settings: Any, databases: Databases, said: str, words: str
) -> None:
    azure.judge = lambda token: said  # type: ignore[method-assign]
    databases(default=entra_settings(azure.port))
    login = step("login")
    assert login["code"] == "login.token_failed"
    assert words in login["hint"]
    assert "user-assigned identity app" in login["message"]
    assert login["detail"]["token"]["audience"] == RESOURCE


@pytest.mark.slow
def test_a_slow_service_is_bounded_by_the_step(
    issuer: Issuer, azure: Gateway, entra_settings: Any, databases: Databases
) -> None:
    answered = threading.Event()
    issuer.before = lambda number: answered.wait(60) and None
    databases(default=entra_settings(azure.port))
    started = time.monotonic()
    login = step("login", "--timeout", "2")
    assert time.monotonic() - started < 30
    answered.set()
    assert login["code"] == "login.token_failed"
    assert "no answer within 2 s" in login["message"]


def test_system_checks_name_what_does_not_go_with_entra(entra_settings: Any, databases: Databases) -> None:
    databases(default={**entra_settings(1), "PASSWORD": "x"})
    settings = step("settings")
    assert settings["code"] == "settings.invalid"
    assert "DATABASES['default']['PASSWORD'] is set, but" in settings["message"]


def test_identities_of_two_aliases_side_by_side(
    issuer: Issuer, azure: Gateway, entra_settings: Any, databases: Databases
) -> None:
    issuer.claims["two"] = {"xms_mirid": UAMI + "second"}
    databases(
        default=entra_settings(azure.port),
        other=entra_settings(azure.port, {"credential_kwargs": {"client_id": "two"}}),
    )
    out = StringIO()
    call_command("azpg_check", "--offline", "--format", "json", stdout=out)
    found = [each["steps"][6]["detail"]["token"]["identity"] for each in json.loads(out.getvalue())["databases"]]
    assert found == ["app", "second"]
