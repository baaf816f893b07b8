"""What stands beside ``auth = "entra"``: refused where it exposes the token or keeps it from being sent."""

from __future__ import annotations

from typing import Any

import pytest

from azpg_backend.errors import causes
from azpg_backend.plan import decision
from azpg_backend.plan.decision import Plan
from tests.support.settings import HOST


def planned(environ: dict[str, str] | None = None, azpg: dict[str, Any] | None = None, **changes: Any) -> Plan:
    options = {"azpg": {"auth": "entra", **(azpg or {})}, **changes.pop("OPTIONS", {})}
    settings = {"NAME": "app", "HOST": HOST, "OPTIONS": options, **changes}
    return decision.decide("default", settings, environ=environ or {}, knows=lambda keyword: True)


def ids(plan: Plan) -> list[str]:
    return [finding.id for finding in plan.problems]


def test_entra_alone_is_fine() -> None:
    plan = planned()
    assert ids(plan) == []
    assert plan.params["sslmode"] == "verify-full"
    assert "password" not in plan.params


@pytest.mark.parametrize(
    "changes, identifier, words",
    [
        ({"PASSWORD": "x1x"}, "azpg.E006", "DATABASES['default']['PASSWORD']"),
        ({"OPTIONS": {"password": "x1x"}}, "azpg.E006", "DATABASES['default']['OPTIONS']['password']"),
        ({"OPTIONS": {"sslmode": "verify-ca"}}, "azpg.E007", "only verify-full"),
        ({"azpg": {"plaintext_on_loopback": True}}, "azpg.E007", "plaintext_on_loopback"),
        ({"azpg": {"plaintext_on_loopback": True}, "HOST": "localhost"}, "azpg.E007", "plaintext_on_loopback"),
        ({"OPTIONS": {"require_auth": "scram-sha-256"}}, "azpg.E002", "'scram-sha-256'"),
        ({"OPTIONS": {"require_auth": "!password"}}, "azpg.E002", "'!password'"),
        ({"OPTIONS": {"channel_binding": "require"}}, "azpg.E002", "'require'"),
    ],
)
def test_what_does_not_go_with_a_token(changes: dict[str, Any], identifier: str, words: str) -> None:
    plan = planned(**changes)
    (finding,) = [each for each in plan.problems if each.is_error]
    assert finding.id == identifier
    assert words in str(finding)
    assert "x1x" not in str(finding)
    assert plan.params["sslmode"] == "verify-full"
    assert not plan.plaintext


@pytest.mark.parametrize(
    "options",
    [{"require_auth": "password"}, {"require_auth": "scram-sha-256, password"}, {"require_auth": "!md5"}]
    + [{"channel_binding": "prefer"}],
)
def test_what_goes_with_a_token(options: dict[str, Any]) -> None:
    assert ids(planned(OPTIONS=options)) == []


def test_what_the_environment_asks_of_passwords_does_not_stop_a_token() -> None:
    plan = planned({"PGREQUIREAUTH": "scram-sha-256,md5", "PGCHANNELBINDING": "require"})
    assert ids(plan) == []
    assert plan.params["require_auth"] == "password,scram-sha-256,md5"
    assert plan.params["channel_binding"] == "prefer"


def test_a_password_login_may_still_require_channel_binding() -> None:
    options = {"azpg": {"auth": "password"}, "channel_binding": "require", "require_auth": "scram-sha-256"}
    assert ids(planned(OPTIONS=options, USER="me", PASSWORD="x")) == []


@pytest.mark.parametrize(
    "changes, user",
    [
        ({"USER": "me"}, "me"),
        ({"OPTIONS": {"user": "me"}}, "me"),
        ({"environ": {"PGUSER": "me"}}, "me"),
        ({}, ""),
    ],
)
def test_a_plan_knows_whose_login_it_is(changes: dict[str, Any], user: str) -> None:
    assert planned(**changes).user == user


@pytest.mark.parametrize(
    "said, words",
    [
        (
            "Authentication failed: AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the "
            "request is the client secret value, not the client secret ID",
            "az ad app credential reset",
        ),
        ("AADSTS7000222: The provided client secret keys for app 'x' are expired.", "has expired"),
        ("AADSTS700211: No matching federated identity record found for presented assertion issuer", "federated"),
        ("AADSTS700213: No matching federated identity record found for presented assertion subject", "federated"),
        ("AADSTS700016: Application with identifier 'x' was not found in the directory 'y'.", "AZURE_CLIENT_ID"),
        ("AADSTS90002: Tenant 'x' not found.", "AZURE_TENANT_ID"),
        ("AADSTS500011: The resource principal named x was not found in the tenant named y.", "'scope'"),
        ("AADSTS700024: Client assertion is not within its valid time range.", "clock"),
        (
            "ManagedIdentityCredential authentication unavailable, no response from the IMDS endpoint.",
            "az login",
        ),
        (
            "DefaultAzureCredential failed to retrieve a token from the included credentials. Attempted credentials: "
            "ManagedIdentityCredential: ManagedIdentityCredential authentication unavailable. No identity has been "
            "assigned to this resource.",
            "assign an identity",
        ),
        (
            "HTTPSConnectionPool(host='login.microsoftonline.com', port=443): Max retries exceeded with url: /x "
            "(Caused by NameResolutionError(\"Failed to resolve 'login.microsoftonline.com'\"))",
            "AzureActiveDirectory",
        ),
        ("<urllib3.connection.HTTPSConnection object>: Failed to establish a new connection", "AzureActiveDirectory"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "proxy"),
        ("ManagedIdentityCredential gave no answer within 60 s", "not reached"),
        ("something new", "gave no token"),
    ],
)
def test_what_a_credential_says_is_put_into_words(said: str, words: str) -> None:
    cause = causes.of_token(said)
    assert cause is not None
    assert cause.code == "login.token_failed"
    assert words in f"{cause.message}. {cause.hint}"
