"""The step azure, driven by Microsoft's own client: what it finds, what it says if it can't ask."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azpg_backend.diagnosis.report import Status, StepResult
from demo_project.localpg import LocalPostgres
from tests.support import arm as standin
from tests.support.arm import RESOURCE_ID, SUBSCRIPTION, Answer, Arm, refusal
from tests.support.settings import HOST, SettingsFor
from tests.support.standins import Issuer

Step = Callable[..., StepResult]


@pytest.fixture
def settings(at_port: SettingsFor) -> dict[str, Any]:
    return at_port(5432)


@pytest.fixture
def known(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that name the server's resource."""
    settings["OPTIONS"]["azpg"] = {**settings["OPTIONS"]["azpg"], "resource_id": RESOURCE_ID}
    return settings


def test_a_server_that_is_well(arm: Arm, azure_step: Step, server: LocalPostgres, settings_for: SettingsFor) -> None:
    step = azure_step(settings_for(server))
    assert (step.status, step.code) == (Status.PASS, "azure.ok"), step
    assert step.message == (
        "Ready, PostgreSQL 17.10, GeneralPurpose Standard_D2ds_v5, ZoneRedundant standby Healthy, public access"
    )
    detail = dict(step.detail)
    assert detail["resource_id"] == RESOURCE_ID
    assert detail["firewall_rules"] == ["office: 20.1.1.1 to 20.1.1.9"]
    assert detail["entra_administrators"] == ["dba@contoso.com"]
    assert detail["maintenance_window"] == "Sunday 03:30 UTC"
    assert detail["storage"] == {"gib": 128, "percent": 12.5, "auto_grow": False}
    assert detail["parameters"]["max_connections"] == "859"
    assert detail["authentication"] == ["password", "entra"]


def test_without_the_flag_azure_is_not_asked(arm: Arm, check: Callable[..., Any], settings: dict[str, Any]) -> None:
    assert list(check(settings, timeout=2)) == [
        "settings", "ca", "dns", "tcp", "tls", "certificate", "login", "session",
    ]  # fmt: skip
    assert arm.requests == []


def test_a_resource_id_saves_the_search(arm: Arm, azure_step: Step, known: dict[str, Any], network: Any) -> None:
    azure_step(known)
    assert RESOURCE_ID in {path for _, path in arm.requests}
    assert "/subscriptions" not in {path for _, path in arm.requests}


def test_a_resource_id_of_another_server(arm: Arm, azure_step: Step, known: dict[str, Any], network: Any) -> None:
    """What Azure says of the one must not be said of the other."""
    arm.set(state="Stopped")
    suffix = ".postgres.database.azure.com"
    step = azure_step({**known, "HOST": f"shop{suffix}"})
    assert (step.status, step.code) == (Status.WARN, "azure.not_found")
    assert f"is that of demo{suffix}, and HOST is shop{suffix}" in step.message
    assert "fullyQualifiedDomainName=='shop" in (step.hint or "")


@pytest.mark.parametrize(
    "host",
    [
        "demo.privatelink.postgres.database.azure.com",
        "shop.writer.postgres.database.azure.com",
        "DEMO.postgres.database.azure.com",
        "db.example.org",
    ],
)
def test_a_resource_id_beside_another_name(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any, host: str
) -> None:
    assert azure_step({**known, "HOST": host}).detail["state"] == "Ready"


@pytest.mark.parametrize("start", [7, "soon", {}, None, "2026-13-45T00:00:00Z", "9999-12-31T23:59:59"])
def test_maintenance_at_an_odd_time(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any, start: Any
) -> None:
    """The client hands over what it can't read."""
    arm.lists["maintenanceEvents"] = [standin.event("PLANNED", "2026-01-01T00:00:00Z")]
    arm.lists["maintenanceEvents"][0]["properties"]["startTime"] = start
    step = azure_step(known)
    assert step.detail["state"] == "Ready", step


def test_the_search_goes_through_all_subscriptions_page_by_page(
    arm: Arm, azure_step: Step, settings: dict[str, Any], network: Any
) -> None:
    arm.page = 2
    arm.subscriptions = [f"bbbbbbbb-0000-4000-8000-{number:012}" for number in range(5)] + [SUBSCRIPTION]
    step = azure_step(settings)
    assert step.detail["resource_id"] == RESOURCE_ID
    assert len(step.detail["parameters"]) == 5
    assert sum(path == "/subscriptions" for _, path in arm.requests) == 3
    assert sum(path.endswith("/configurations") for _, path in arm.requests) == 4


@pytest.mark.parametrize("host", ["shop.reader", "shop.writer", "demo.privatelink"])
def test_other_names_of_the_server(
    arm: Arm, azure_step: Step, settings: dict[str, Any], network: Any, host: str
) -> None:
    suffix = ".postgres.database.azure.com"
    arm.lists["virtualendpoints"] = [standin.virtual_endpoint("shop.writer", f"shop.reader{suffix}")]
    step = azure_step({**settings, "HOST": f"{host}{suffix}"})
    assert step.detail["resource_id"] == RESOURCE_ID


def test_no_server_of_this_name(arm: Arm, azure_step: Step, settings: dict[str, Any], network: Any) -> None:
    step = azure_step({**settings, "HOST": "other.postgres.database.azure.com"})
    assert (step.status, step.code) == (Status.WARN, "azure.not_found")
    assert "no server other.postgres.database.azure.com in the 1 subscription" in step.message
    assert "OPTIONS['azpg']['resource_id']" in (step.hint or "")


@pytest.mark.parametrize("host", ["localhost", "shop.cluster.westeurope.horizondb.azure.com"])
def test_a_host_elsewhere_is_not_its_to_know(arm: Arm, azure_step: Step, settings: dict[str, Any], host: str) -> None:
    step = azure_step({**settings, "HOST": host}, timeout=2)
    assert (step.status, arm.requests) == (Status.SKIP, [])


@pytest.mark.parametrize(
    "answer, code, words",
    [
        (refusal(401, "InvalidAuthenticationToken", "expired"), "azure.forbidden", "expired"),
        (refusal(403, "AuthorizationFailed", "no authorization to read"), "azure.forbidden", "no authorization"),
        (refusal(404, "ResourceNotFound", "was not found"), "azure.not_found", "was not found"),
        (refusal(409, "MissingSubscriptionRegistration", "of 'Microsoft.X'"), "azure.unreachable", "Registration"),
        (refusal(429, "TooManyRequests", "slow down", Retry_After="3600"), "azure.unreachable", "throttles"),
        (refusal(500, "InternalServerError", "oops"), "azure.unreachable", "failed with 500"),
        (refusal(503, "ServerTimeout", "busy"), "azure.unreachable", "failed with 503"),
        (Answer(200, "<html>a proxy</html>"), "azure.unreachable", "no usable answer"),
        (Answer(200, "[]"), "azure.unreachable", "no usable answer"),
        (Answer(200, {}), "azure.unreachable", "no usable answer"),
        (Answer(302, "", {"Location": "https://example.com/"}), "azure.unreachable", "no usable answer"),
        (Answer(403, "<html>blocked by policy</html>"), "azure.unreachable", "no usable answer"),
        (Answer(404, "<html>no such page</html>"), "azure.unreachable", "no usable answer"),
    ],
)
def test_an_answer_that_tells_nothing_is_a_warning(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any, answer: Answer, code: str, words: str
) -> None:
    arm.instead = lambda path: answer
    started = time.monotonic()
    step = azure_step(known)
    assert time.monotonic() - started < 10
    assert (step.status, step.code) == (Status.WARN, code), step
    assert words in step.message
    assert {method for method, _ in arm.requests} == {"GET"}
    assert step.hint


@pytest.mark.parametrize("body", [{}, {"properties": {}}, {"message": "sign in first"}])
def test_a_list_without_a_value_is_no_empty_list(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any, body: Any
) -> None:
    arm.instead = lambda path: Answer(200, body) if path.endswith("firewallRules") else None
    step = azure_step(known)
    assert (step.status, step.code) == (Status.WARN, "azure.incomplete")
    assert "neither a resource nor a list" in step.message


def test_a_moment_of_throttling_is_waited_out(arm: Arm, azure_step: Step, known: dict[str, Any], network: Any) -> None:
    answers = iter([refusal(429, "TooManyRequests", "slow down", Retry_After="1"), refusal(503, "Busy", "")])
    arm.instead = lambda path: next(answers, None)
    assert azure_step(known).detail["state"] == "Ready"


def test_a_right_that_is_missing_costs_only_its_part(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any
) -> None:
    arm.instead = lambda path: refusal(403, "AuthorizationFailed", "no") if "Insights" in path else None
    arm.set(state="Stopped")
    step = azure_step(known)
    assert step.code == "azure.stopped"
    (problem,) = [each for each in step.problems if each.code == "azure.incomplete"]
    assert "storage percent" in problem.message
    assert "Microsoft.Insights/metrics/read" in problem.hint


def test_a_slow_api_is_bounded(arm: Arm, azure_step: Step, known: dict[str, Any], network: Any) -> None:
    done = threading.Event()
    arm.instead = lambda path: done.wait(30) and None
    started = time.monotonic()
    step = azure_step(known, timeout=1)
    assert time.monotonic() - started < 8
    done.set()
    assert (step.status, step.code) == (Status.WARN, "azure.timeout")
    assert "within 1 s" in step.message


def test_an_answer_that_comes_too_late_is_a_matter_of_time(arm: Arm) -> None:
    """The client's own limit is what was left of the step's, so either may end first."""
    from azpg_backend.azure.client import Azure
    from azpg_backend.azure.places import place_of
    from azpg_backend.entra.tokens import Token

    done = threading.Event()
    arm.instead = lambda path: done.wait(30) and None
    text, end = arm.issuer.token("")
    try:
        with pytest.raises(TimeoutError):
            Azure(place_of(HOST), Token(text, end), lambda: 0.2).subscriptions()
    finally:
        done.set()


def test_no_token(arm: Arm, issuer: Issuer, azure_step: Step, known: dict[str, Any], network: Any) -> None:
    issuer.before = lambda number: (400, '{"statusCode": 400, "message": "No User Assigned identity found"}', {})
    known["OPTIONS"]["azpg"]["credential"] = "azure.identity.ManagedIdentityCredential"
    step = azure_step(known)
    assert (step.status, step.code) == (Status.WARN, "azure.no_token")
    assert "No User Assigned identity found" in step.message
    assert arm.requests == []


def test_a_dozen_credentials_in_vain_are_one_line(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "dev")
    monkeypatch.setenv("PATH", "")
    step = azure_step(known)
    assert (step.status, step.code) == (Status.WARN, "azure.no_token")
    assert len(step.message) < 200
    assert "az login" in (step.hint or "")
    assert "AzureCliCredential" in step.detail["credential_said"]


def test_a_token_that_never_comes(
    arm: Arm, issuer: Issuer, azure_step: Step, known: dict[str, Any], network: Any
) -> None:
    done = threading.Event()
    issuer.before = lambda number: done.wait(30) and None
    step = azure_step(known, timeout=1)
    done.set()
    assert (step.status, step.code) == (Status.WARN, "azure.no_token")


def test_no_network(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_RESOURCE_MANAGER_URL", "https://localhost:1")
    step = azure_step(known)
    assert (step.status, step.code) == (Status.WARN, "azure.unreachable")
    assert "AzureResourceManager" in (step.hint or "")


@pytest.mark.parametrize("url", ["http://localhost", "localhost", "https://user@localhost"])
def test_a_token_goes_to_https_only(
    arm: Arm, azure_step: Step, known: dict[str, Any], network: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_RESOURCE_MANAGER_URL", url)
    step = azure_step(known)
    assert (step.code, arm.issuer.requests) == ("azure.unreachable", [])


def test_a_next_page_elsewhere_gets_no_token(
    arm: Arm, azure_step: Step, settings: dict[str, Any], network: Any
) -> None:
    page = {"value": [], "nextLink": "https://example.com/subscriptions?api-version=2022-12-01"}
    arm.instead = lambda path: Answer(200, page)
    step = azure_step(settings)
    assert step.code == "azure.unreachable"
    assert "refused to send GET to example.com" in step.message


def test_without_the_extra(
    azure_step: Step, known: dict[str, Any], network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "azpg_backend.azure.client", raising=False)
    monkeypatch.setitem(sys.modules, "azure.mgmt.postgresqlflexibleservers", None)
    step = azure_step(known)
    assert (step.status, step.code) == (Status.WARN, "azure.not_installed")
    assert 'pip install "django-azpg[azure]"' in (step.hint or "")


@pytest.mark.parametrize("fixed", ["", "opaque-token-that-looks-like-nothing"])
def test_tokens_are_never_shown(arm: Arm, azure_report: Any, known: dict[str, Any], network: Any, fixed: str) -> None:
    """Not even if the API repeats one."""
    arm.issuer.fixed[""] = fixed
    arm.instead = lambda path: refusal(403, "No", f"not with {next(iter(arm.issuer.issued))}")
    report = repr(azure_report(known))
    (token,) = arm.issuer.issued
    assert "not with ****" in report
    assert token[:30] not in report


def test_the_token_is_for_the_management_api(arm: Arm, azure_step: Step, known: dict[str, Any], network: Any) -> None:
    azure_step(known)
    (asked,) = arm.issuer.requests
    assert asked["resource"] == arm.url


def test_nothing_in_the_code_changes_anything() -> None:
    """Every method of Microsoft's client that is called is one that reads."""
    import azpg_backend.azure

    allowed = {"get", "list", "list_by_server", "list_by_subscription"}
    changing = ("begin_", "create", "delete", "update", "start", "stop", "restart", "put", "cancel", "check_")
    for path in Path(azpg_backend.azure.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert not node.func.attr.startswith(changing), f"{path.name}:{node.lineno}: {node.func.attr}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("list"):
                assert node.value in allowed, f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Constant):
                assert node.value not in {"POST", "PUT", "PATCH", "DELETE"}, f"{path.name}:{node.lineno}"


def test_what_would_change_something_is_not_sent(arm: Arm) -> None:
    from azpg_backend.azure.client import Azure, Changes
    from azpg_backend.azure.places import place_of
    from azpg_backend.entra.tokens import Token

    text, end = arm.issuer.token("")
    client = Azure(place_of(HOST), Token(text, end), lambda: 5.0).client(SUBSCRIPTION)
    with pytest.raises(Changes, match="refused to send POST"):
        client.servers.begin_stop("shop", "demo")
    assert arm.requests == []


def test_the_engine_imports_none_of_it() -> None:
    program = (
        "import sys, azpg_backend.base, azpg_backend.checks, azpg_backend.client\n"
        "print([name for name in sys.modules if name.startswith(('azure', 'azpg_backend.azure'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
