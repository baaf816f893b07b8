"""Ten everyday faults, told apart by name; docs/azure.md has the table that this writes."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from azpg_backend.azure import reading
from azpg_backend.diagnosis import rights
from azpg_backend.diagnosis.report import DatabaseReport
from demo_project.localpg import Chain, LocalPostgres
from tests.support import arm as standin
from tests.support import servers
from tests.support.arm import Arm
from tests.support.servers import TLSServer
from tests.support.settings import SettingsFor

DOCUMENT = Path(__file__).parents[2] / "docs" / "azure.md"
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
DISABLED = {"public_network_access": "Disabled"}


class Fault(NamedTuple):
    """A fault of the server, and what the check must say.

    make: brings it about.
    code: of the step azure.
    words: in its message or hint.
    before: the code of the first other step that fails; "" if none does.
    port: of HOST.
    """

    make: Callable[[Arm, Any], None]
    code: str
    words: tuple[str, ...]
    before: str
    port: int = 5432


def stopped(arm: Arm, network: Any) -> None:
    arm.set(state=standin.member("ServerState", "STOPPED"))


def no_rule(arm: Arm, network: Any) -> None:
    arm.lists["firewallRules"] = []


def no_public_access(arm: Arm, network: Any) -> None:
    arm.set(network=standin.made("Network", **DISABLED))


def in_a_network(arm: Arm, network: Any) -> None:
    arm.set(
        network=standin.made(
            "Network",
            delegated_subnet_resource_id=standin.SUBNET,
            private_dns_zone_arm_resource_id=standin.ZONE,
            **DISABLED,
        )
    )
    arm.links = [standin.VNET]
    network.addresses = UNKNOWN


def behind_an_endpoint(arm: Arm, network: Any) -> None:
    no_public_access(arm, network)
    arm.set(private_endpoint_connections=[standin.private_endpoint("APPROVED")])


def waiting_endpoint(arm: Arm, network: Any) -> None:
    no_public_access(arm, network)
    arm.set(private_endpoint_connections=[standin.private_endpoint("PENDING")])


def lost_on_the_way(arm: Arm, network: Any) -> None:
    in_a_network(arm, network)
    network.addresses = ["10.0.0.4"]


def refusing(arm: Arm, network: Any) -> None:
    network.error = ConnectionRefusedError(111, "Connection refused")


def burstable(arm: Arm, network: Any) -> None:
    refusing(arm, network)
    arm.sku = standin.made("Sku", name="Standard_B1ms", tier=standin.member("SkuTier", "BURSTABLE"))


# Nobody gets in, and the network is all that the rest of the check sees.
OUTSIDE = {
    "stopped": Fault(
        stopped, "azure.stopped", ("server demo is stopped", "flexible-server start", "--name demo"), "tcp.timeout"
    ),
    "no firewall rule": Fault(
        no_rule,
        "azure.no_firewall_rule",
        ("has no firewall rule", "firewall-rule create", "--server-name demo", "--start-ip-address"),
        "tcp.timeout",
    ),
    "rule of another address": Fault(
        lambda arm, network: None,
        "azure.other_firewall_rule",
        ("lets in only office: 20.1.1.1 to 20.1.1.9", "firewall-rule create"),
        "tcp.timeout",
    ),
    "public access off": Fault(
        no_public_access,
        "azure.public_access_off",
        ("public access to demo is off", "flexible-server update", "--public-access Enabled"),
        "tcp.timeout",
    ),
    "zone not linked": Fault(
        in_a_network,
        "azure.zone_not_linked",
        ("shop.private.postgres.database.azure.com", "linked to hub only", "private-dns link vnet create"),
        "dns.not_found",
    ),
    "private endpoint's zone not linked": Fault(
        behind_an_endpoint,
        "azure.zone_not_linked",
        ("pe-demo is the way in", "leads to 20.61.1.2", "--zone-name privatelink.postgres.database.azure.com"),
        "tcp.timeout",
    ),
    "private endpoint not approved": Fault(
        waiting_endpoint,
        "azure.private_endpoint",
        ("pe-demo is Pending", "private-endpoint-connection approve", "--name pe-demo.1"),
        "tcp.timeout",
    ),
    "packets lost in a virtual network": Fault(
        lost_on_the_way, "azure.route", ("10.0.0.4 is right", "the subnet pg"), "tcp.timeout"
    ),
    "PgBouncer off on 6432": Fault(
        refusing,
        "azure.pgbouncer_off",
        ("pgbouncer.enabled is false", "parameter set", "--name pgbouncer.enabled --value true"),
        "tcp.refused",
        6432,
    ),
    "Burstable, on 6432": Fault(
        burstable, "azure.pgbouncer_burstable", ("tier Burstable (Standard_B1ms)", "PORT 5432"), "tcp.refused", 6432
    ),
}


def first_code(report: DatabaseReport) -> str:
    """Return the code of the first step but azure that fails, or warns of more than a private root."""
    found = [each.code for each in report.steps[:-1] if each.status.value == "fail"]
    return found[0] if found else ""


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_the_network_can_not_tell(
    arm: Arm,
    network: Any,
    azure_report: Callable[..., DatabaseReport],
    at_port: SettingsFor,
    name: str,
    record_row: Callable[[str, str, DatabaseReport], None],
) -> None:
    fault = OUTSIDE[name]
    fault.make(arm, network)
    settings = {**at_port(fault.port), "DISABLE_SERVER_SIDE_CURSORS": True}
    report = azure_report(settings)
    step = report.steps[-1]
    assert (step.status.value, step.code) == ("fail", fault.code), step
    assert [each.code for each in step.problems] == [fault.code]
    text = f"{step.message} {step.hint}"
    for part in fault.words:
        assert part in text
    assert f"--subscription {standin.SUBSCRIPTION} --resource-group " in text or "az network watcher" in text
    assert first_code(report) == fault.before
    record_row(name, fault.before, report)


def test_the_address_that_the_server_names(
    arm: Arm,
    network: Any,
    chain: Chain,
    azure_report: Callable[..., DatabaseReport],
    at_port: SettingsFor,
    record_row: Callable[[str, str, DatabaseReport], None],
) -> None:
    """A failed login tells this machine's address as the server sees it."""
    network.error = None
    words = 'no pg_hba.conf entry for host "203.0.113.7", user "app", database "app", SSL encryption'
    refuse = TLSServer(chain.server_pem, chain.key_pem, servers.logging_in(servers.error_response(words, "28000")))
    with servers.listening(refuse) as port:
        report = azure_report(at_port(port))
        step = report.steps[-1]
        assert step.code == "azure.other_firewall_rule"
        assert "sees this machine as 203.0.113.7, which no firewall rule lets in (office" in step.message
        assert "--start-ip-address 203.0.113.7 --end-ip-address 203.0.113.7" in (step.hint or "")
        assert step.detail["own_address"] == "203.0.113.7"
        record_row("rule of another address, named by the server", "login.no_hba_entry", report)
        arm.lists["firewallRules"] = [standin.rule("build", "203.0.113.0", "203.0.113.255")]
        assert azure_report(at_port(port)).steps[-1].code == "azure.ok"


def extension_not_allowed(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    arm.configure(azure__extensions="CITEXT,hstore")
    wanted = {"pg_trgm": "notes.0002_search", "citext": "notes.0001_initial"}
    monkeypatch.setattr(rights, "extensions_of_migrations", lambda wrapper: wanted)


def no_entra_administrator(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    arm.lists["administrators"] = []


def storage_full(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    arm.percent = 96.5


# The login works, so it is a warning.
INSIDE = {
    "extension not allowed": (
        extension_not_allowed,
        "azure.extension_not_allowed",
        ("does not allow pg_trgm (notes.0002_search)", "--name azure.extensions --value citext,hstore,pg_trgm"),
    ),
    "no Microsoft Entra administrator": (
        no_entra_administrator,
        "azure.no_entra_admin",
        ("has no Microsoft Entra administrator", "microsoft-entra-admin create", "--object-id OBJECT_ID"),
    ),
    "storage full": (
        storage_full,
        "azure.storage_full",
        ("96.5 % of 128 GiB", "--storage-size 256", "--storage-auto-grow Enabled"),
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_what_a_working_login_does_not_tell(
    arm: Arm,
    azure_report: Callable[..., DatabaseReport],
    server: LocalPostgres,
    settings_for: SettingsFor,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    record_row: Callable[[str, str, DatabaseReport], None],
) -> None:
    make, code, words = INSIDE[name]
    make(arm, monkeypatch)
    report = azure_report(settings_for(server))
    step = report.steps[-1]
    assert (step.status.value, step.code) == ("warn", code), step
    for part in words:
        assert part in f"{step.message} {step.hint}"
    assert first_code(report) == ""
    record_row(name, "", report)


def test_what_works_is_no_worse_than_a_warning(
    arm: Arm, azure_report: Callable[..., DatabaseReport], server: LocalPostgres, settings_for: SettingsFor
) -> None:
    """The alias logs in and writes, so it is no replica, whatever Azure says at this moment."""
    arm.set(replication_role=standin.member("ReplicationRole", "ASYNC_REPLICA"), state="Updating")
    arm.lists["firewallRules"] = []
    step = azure_report(settings_for(server)).steps[-1]
    assert (step.status.value, [each.code for each in step.problems]) == ("warn", ["azure.replica"])


def generated(title: str) -> str:
    found = re.search(rf"<!-- written by the tests: {title} -->\n(.*?)<!-- end -->", DOCUMENT.read_text("utf-8"), re.S)
    assert found is not None
    return found[1]


def test_the_document_has_every_fault() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| `(azure\.\w+)` \|", generated("faults"), re.MULTILINE)
    met = [(name, fault.code) for name, fault in OUTSIDE.items()]
    met += [("rule of another address, named by the server", "azure.other_firewall_rule")]
    met += [(name, code) for name, (_, code, _) in INSIDE.items()]
    assert sorted(rows) == sorted(met)
    others = {fault.before for fault in OUTSIDE.values()}
    # What these ten were told apart by before.
    assert others == {"tcp.timeout", "tcp.refused", "dns.not_found"}
    assert len({code for _, code in met}) >= 10


def test_the_document_has_every_action() -> None:
    actions = [reading.READ_SUBSCRIPTIONS, reading.READ_SERVER, *(part.action for part in reading.PARTS)]
    assert re.findall(r"^\| `([\w./]+)` \|", generated("actions"), re.MULTILINE) == actions
