"""What the server, once reached, will refuse or do: each told by its code, each gone once it is mended."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from azpg_backend.azure import network, service
from azpg_backend.azure.facts import Event, Known, Parameter, PrivateEndpoint, Rule, Seen, Server
from azpg_backend.plan import resource_id
from tests.support.arm import RESOURCE_ID, SUBNET
from tests.support.settings import HOST

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc)
SERVER = Server(
    resource_id.parse(RESOURCE_ID),
    HOST,
    "Ready",
    tier="GeneralPurpose",
    ha_mode="ZoneRedundant",
    ha_state="Healthy",
    entra=True,
    storage_gb=64,
)
PARAMETERS = {
    "max_connections": Parameter("50"),
    "reserved_connections": Parameter("5"),
    "superuser_reserved_connections": Parameter("10"),
    "require_secure_transport": Parameter("on"),
    "ssl_min_protocol_version": Parameter("TLSv1.2"),
    "pgbouncer.enabled": Parameter("true"),
}
GOOD = Known(SERVER, (), PARAMETERS, ("dba@contoso.com",), {}, (), (), None, 20.0)
SEEN = Seen(HOST, 5432, logged_in=True, pool=35)


def changed(**changes: Any) -> tuple[Known, Seen]:
    """Return what is good but for some changes, of whichever value has a field of the name."""
    known, seen = GOOD, SEEN
    for name, value in changes.items():
        if hasattr(SEEN, name):
            seen = dataclasses.replace(seen, **{name: value})
        elif hasattr(SERVER, name):
            known = dataclasses.replace(known, server=dataclasses.replace(known.server, **{name: value}))
        elif name == "parameter":
            known = dataclasses.replace(known, parameters={**PARAMETERS, value[0]: Parameter(*value[1:])})
        else:
            known = dataclasses.replace(known, **{name: value})
    return known, seen


def test_nothing_is_wrong() -> None:
    assert service.problems(GOOD, SEEN, NOW) == []
    assert service.problems(*changed(port=6432, entra=False), NOW) == []


def at(hours: float, status: str = "Planned") -> tuple[Event, ...]:
    return (Event(status, NOW + datetime.timedelta(hours=hours)),)


@pytest.mark.parametrize(
    "changes, code, words",
    [
        ({"pool": 36}, "azure.max_connections", "the server has 35 for users"),
        ({"parameter": ("require_secure_transport", "off")}, "azure.transport", "without TLS"),
        ({"parameter": ("work_mem", "4096", True)}, "azure.pending_restart", "work_mem will change"),
        ({"ha_state": "RecreatingStandby"}, "azure.standby", "RecreatingStandby"),
        ({"replicas": {"demo-r1": "Broken"}}, "azure.replica", "demo-r1 no longer follows demo"),
        ({"role": "AsyncReplica", "source": "/x/main"}, "azure.replica", "read replica of main"),
        ({"events": at(3)}, "azure.maintenance", "begins 2026-11-25 15:00 UTC"),
        ({"events": at(-1, "InProgress")}, "azure.maintenance", "under way"),
        ({"storage_percent": 90.0}, "azure.storage_full", "nearly full (90 %"),
        ({"storage_percent": 95.0}, "azure.storage_full", "is full (95 % of 64 GiB)"),
        ({"administrators": ()}, "azure.no_entra_admin", "no Microsoft Entra administrator"),
        ({"password": False}, "azure.password_off", "Microsoft Entra only"),
        ({"port": 6432, "tier": "Burstable"}, "azure.pgbouncer_burstable", "PORT 6432"),
        ({"port": 8432, "parameter": ("pgbouncer.enabled", "false")}, "azure.pgbouncer_off", "PORT 8432"),
    ],
)
def test_each_by_name(changes: dict[str, Any], code: str, words: str) -> None:
    (problem,) = service.problems(*changed(**changes), NOW)
    assert problem.code == code
    assert words in problem.message
    assert "--resource-group shop" in problem.hint
    assert "az postgres flexible-server " in problem.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "AsyncReplica", "writes": False},
        {"events": at(50)},
        {"events": at(-1)},
        {"events": at(3, "Canceled")},
        {"events": (Event("Planned"),)},
        {"parameter": ("max_connections", "")},
        {"ha_mode": "Disabled", "ha_state": "NotEnabled"},
        {"entra": True, "password": True, "administrators": None},
        {"extensions": {"pg_trgm": "x"}},
    ],
)
def test_what_is_no_fault(changes: dict[str, Any]) -> None:
    assert service.problems(*changed(**changes), NOW) == []


def test_entra_that_is_off() -> None:
    known = dataclasses.replace(GOOD, server=dataclasses.replace(SERVER, entra=False))
    (problem,) = service.problems(known, dataclasses.replace(SEEN, entra=True), NOW)
    assert problem.code == "azure.entra_off"
    assert "--microsoft-entra-auth Enabled" in problem.hint


def test_no_tls_version_in_common() -> None:
    known, seen = changed(parameter=("ssl_min_protocol_version", "TLSv1.3"), tls_max="TLSv1.2")
    (problem,) = service.problems(known, seen, NOW)
    assert (problem.code, problem.is_error) == ("azure.transport", True)


@pytest.mark.parametrize("state", ["Starting", "Stopping", "Updating", "Restarting", "Disabled", "Inaccessible", "New"])
def test_other_states(state: str) -> None:
    (problem,) = network.problems(*changed(state=state, logged_in=False))
    assert problem.code == "azure.not_ready"
    assert f"is {state}, not Ready" in problem.message


@pytest.mark.parametrize(
    "changes",
    [
        # The login worked, so the network does.
        {"logged_in": True, "rules": ()},
        # Something answered, so no rule is missing.
        {"rules": (), "unanswered": False, "addresses": ("20.61.1.2",)},
        {"rules": (Rule("all", "0.0.0.0", "255.255.255.255"),), "unanswered": True, "addresses": ("20.61.1.2",)},
        {"rules": (Rule("me", "203.0.113.1", "203.0.113.9"),), "own_address": "203.0.113.7"},
        # Rules that could not be read.
        {"rules": None, "unanswered": True, "addresses": ("20.61.1.2",)},
        {"subnet": SUBNET, "addresses": ("10.0.0.4",), "unanswered": False},
        {"endpoints": (PrivateEndpoint("pe", "Approved", "pe.1"),), "addresses": ("10.0.0.4",), "public": False},
    ],
)
def test_no_fault_of_the_network(changes: dict[str, Any]) -> None:
    assert network.problems(*changed(**{"logged_in": False, **changes})) == []


def test_azures_own_services_are_no_address_of_this_machine() -> None:
    rules = (Rule("AllowAzure", "0.0.0.0", "0.0.0.0"),)
    (problem,) = network.problems(*changed(logged_in=False, rules=rules, own_address="20.1.1.1"))
    assert problem.code == "azure.other_firewall_rule"
    assert "AllowAzure: Azure's own services" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "demo",
        "/subscriptions/1",
        RESOURCE_ID.replace("flexibleServers", "servers"),
        f"{RESOURCE_ID}/x",
        RESOURCE_ID[1:],
    ],
)
def test_what_is_no_resource_id_is_refused(connect: Any, at_port: Any, text: str) -> None:
    plan = connect(at_port(1, azpg={"resource_id": text})).plan()
    (problem,) = plan.errors
    assert problem.id == "azpg.E002"
    assert "OPTIONS['azpg']['resource_id']" in problem.message.replace('"', "'") or "resource_id" in problem.message
    assert "Copy it from the server's page Properties" in problem.hint


@pytest.mark.parametrize("value", [1, b"x", ["a"], None])
def test_a_resource_id_is_text(connect: Any, at_port: Any, value: Any) -> None:
    assert len(connect(at_port(1, azpg={"resource_id": value})).plan().errors) == 1


def test_azure_ignores_the_case_of_a_resource_id(connect: Any, at_port: Any) -> None:
    plan = connect(
        at_port(1, azpg={"resource_id": RESOURCE_ID.upper().replace("SUBSCRIPTIONS", "subscriptions")})
    ).plan()
    assert not plan.errors
    assert resource_id.parse(plan.options.resource_id).server == "demo"
