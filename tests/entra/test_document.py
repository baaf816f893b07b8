"""docs/entra.md, followed to the end for each kind of identity: its SQL, its settings, and what the check says."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_project.localpg import Chain, LocalPostgres
from tests.support.diagnosis import step
from tests.support.gateway import gateway
from tests.support.https import certified
from tests.support.settings import EntraSettings
from tests.support.standins import HEADER, TENANT, UAMI, Issuer, jwt, serving

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "entra.md").read_text("utf-8")
SITE = "/subscriptions/0/resourcegroups/demo/providers/Microsoft.Web/sites/"

# What Microsoft Entra puts into the token of each kind of identity, under the heading of its page.
CLAIMS: dict[str, dict[str, Any]] = {
    "User-assigned managed identity": {"xms_mirid": UAMI + "my-identity", "appid": "client", "idtyp": "app"},
    "System-assigned managed identity": {"xms_mirid": SITE + "my-web-app", "appid": "client", "idtyp": "app"},
    "Service principal": {"appid": "client", "idtyp": "app"},
    "Workload identity (Kubernetes, GitHub Actions)": {"appid": "client", "idtyp": "app"},
    "User": {"upn": "me@contoso.com", "appid": "azure-cli"},
    "Group": {"upn": "me@contoso.com", "appid": "azure-cli"},
}


def page(heading: str) -> str:
    return DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


def test_every_identity_has_its_page() -> None:
    pages = {heading for heading in re.findall(r"^## (.*)$", DOCUMENT, re.MULTILINE) if "Check: " in page(heading)}
    assert pages == set(CLAIMS)


@pytest.fixture
def azure_server(chain: Chain) -> Iterator[LocalPostgres]:
    """A server with a stand-in for Azure's function, which makes a role of the name that it is given."""
    hba = ("hostnossl all all 127.0.0.1/32 trust",)
    with LocalPostgres(chain, hba=hba) as server:
        server.create("owner", "unknown to all", "app")
        server.sql(
            "CREATE FUNCTION pgaadauth_create_principal(name text, is_admin boolean, is_mfa boolean) RETURNS text "
            "LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('CREATE ROLE %I LOGIN', name); RETURN name; END $$"
        )
        yield server


@pytest.fixture
def login_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """Every way by which azure-identity gets a token, each answered by a stand-in: the host's endpoint, and Entra's."""
    context, root_pem = certified("localhost")
    (tmp_path / "ca.pem").write_text(root_pem)
    (tmp_path / "federated").write_text(jwt({"sub": "system:serviceaccount:app:app"}))
    issuer = Issuer()
    with serving(issuer, context):
        entra = issuer.url
        with serving(issuer):
            for name, value in {
                "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
                "AZURE_AUTHORITY_HOST": entra,
                "IDENTITY_ENDPOINT": f"{issuer.url}/msi/token",
                "IDENTITY_HEADER": HEADER,
                "TENANT_ID": TENANT,
                "CLIENT_ID": "client",
                "CLIENT_SECRET": "s3cret",
                "AZURE_TENANT_ID": TENANT,
                "AZURE_CLIENT_ID": "client",
                "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "federated"),
            }.items():
                monkeypatch.setenv(name, value)
            issuer.url = entra
            yield issuer


@pytest.mark.parametrize("heading", CLAIMS)
def test_a_page_can_be_followed_to_the_end(
    heading: str,
    azure_server: LocalPostgres,
    chain: Chain,
    login_service: Issuer,
    entra_settings: EntraSettings,
    databases: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = page(heading)
    login_service.claims = {"": CLAIMS[heading]}
    azure_server.sql(block(text, "sql"))
    # The settings of this repository's own documentation.
    written = eval("{" + block(text, "python") + "}", {"os": os})  # noqa: S307
    azpg = written["OPTIONS"]["azpg"]
    if "Managed" not in azpg.get("credential", ""):
        # Microsoft's list of clouds can't be asked here.
        azpg["credential_kwargs"] = {**azpg.get("credential_kwargs", {}), "disable_instance_discovery": True}
    if azpg == {"auth": "entra", "credential_kwargs": azpg.get("credential_kwargs")}:
        # In place of `az login`, which needs a browser, the default credential finds the host's identity.
        monkeypatch.delenv("AZURE_CLIENT_ID")
    with gateway(login_service, azure_server, chain) as azure:
        base = entra_settings(azure.port)
        databases(default={**base, "USER": written["USER"], "OPTIONS": {**base["OPTIONS"], "azpg": azpg}})
        login = step("login")
    assert login["status"] == "pass", login
    expected = re.search(r"Check: `login` says `([^`]*)`", text)
    assert expected is not None
    assert expected[1] in login["message"]
    made = re.search(r"create_principal\('([^']*)'", text)
    assert made is not None
    assert login["message"].startswith(f"{made[1]} on app (")
