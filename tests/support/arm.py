"""A stand-in for Azure's management API, for Microsoft's own client.

Its answers are made from the client's models, field by field, so that a field that Microsoft renames or drops breaks
the tests. What the client does not model (subscriptions, links of a DNS zone, metrics) has the form of Microsoft's
REST reference.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support import web
from tests.support.standins import Issuer
from tests.support.web import Reply, Request

SUBSCRIPTION = "aaaaaaaa-0000-4000-8000-000000000001"
GROUP = "shop"
NAME = "demo"
PROVIDER = "providers/Microsoft.DBforPostgreSQL/flexibleServers"
RESOURCE_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/{PROVIDER}/{NAME}"
NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Network"
ZONE = f"{NETWORK}/privateDnsZones/shop.private.postgres.database.azure.com"
SUBNET = f"{NETWORK}/virtualNetworks/db/subnets/pg"
VNET = f"{NETWORK}/virtualNetworks/hub"


def models() -> Any:
    from azure.mgmt.postgresqlflexibleservers import models as found

    return found


def made(model: str, **fields: Any) -> dict[str, Any]:
    """Return a model of the client as Azure sends it; read-only fields may be given. Fails for an unknown field."""
    kind = getattr(models(), model)
    kind({})
    known = kind._attr_to_rest_field
    unknown = set(fields) - set(known)
    assert not unknown, f"{model} has no {unknown}"
    body = {known[name]._rest_name: value for name, value in fields.items()}
    read = kind(body)
    for name, value in fields.items():
        assert getattr(read, name) is not None or value is None, name
    return body


def member(enum: str, name: str) -> str:
    return str(getattr(getattr(models(), enum), name).value)


class Answer(NamedTuple):
    """An answer of the API. body: text, or what becomes JSON."""

    status: int
    body: Any
    headers: dict[str, str] = {}  # noqa: RUF012

    @property
    def text(self) -> str:
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


def refusal(status: int, code: str, message: str, **headers: str) -> Answer:
    """Return an error in the form that every Azure API gives it."""
    return Answer(status, {"error": {"code": code, "message": message}}, headers)


@dataclass
class Arm:
    """What the stand-in knows, to be changed before it is asked.

    properties: of the one server; sku: its size. Lists: what else it has. percent: of its storage.
    instead: called with the path of every request; what it returns is sent instead, and it may sleep.
    page: items on a page of a list.
    requests: method and path of each request. agents: their User-Agent.
    """

    issuer: Issuer
    properties: dict[str, Any] = field(default_factory=dict)
    sku: dict[str, Any] = field(default_factory=dict)
    subscriptions: list[str] = field(default_factory=lambda: [SUBSCRIPTION])
    lists: dict[str, list[Any]] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    percent: float = 12.5
    instead: Callable[[str], Answer | None] = lambda path: None
    page: int = 100
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.properties = ready_server()
        self.sku = made("Sku", name="Standard_D2ds_v5", tier=member("SkuTier", "GENERAL_PURPOSE"))
        self.lists = {
            "firewallRules": [rule("office", "20.1.1.1", "20.1.1.9")],
            "configurations": [parameter(*each) for each in PARAMETERS.items()],
            "administrators": [administrator("dba@contoso.com")],
            "replicas": [],
            "virtualendpoints": [],
            "maintenanceEvents": [],
        }

    def set(self, **fields: Any) -> None:
        """Change properties of the server."""
        self.properties |= made("ServerProperties", **fields)

    def configure(self, **values: str) -> None:
        """Change server parameters, a dot in a name written as two underscores."""
        for name, value in values.items():
            name = name.replace("__", ".")
            kept = [each for each in self.lists["configurations"] if each["name"] != name]
            self.lists["configurations"] = [*kept, parameter(name, value)]

    def server(self) -> dict[str, Any]:
        return made(
            "Server",
            id=RESOURCE_ID,
            name=NAME,
            type="Microsoft.DBforPostgreSQL/flexibleServers",
            location="westeurope",
            properties=self.properties,
            sku=self.sku,
        )

    def answer(self, method: str, target: str, authorization: str) -> Answer:
        address = urllib.parse.urlsplit(target)
        self.requests.append((method, address.path))
        if authorization.removeprefix("Bearer ") not in self.issuer.issued:
            return refusal(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if (instead := self.instead(address.path)) is not None:
            return instead
        if method != "GET":
            return refusal(405, "MethodNotAllowed", "The stand-in is for reading.")
        query = dict(urllib.parse.parse_qsl(address.query))
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", query.get("api-version", "")):
            return refusal(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        found = self._found(address.path)
        return self._paged(address, query, found) if isinstance(found, list) else Answer(200 if found else 404, found)

    def _found(self, path: str) -> Any:
        if path == "/subscriptions":
            return [{"subscriptionId": each, "state": "Enabled"} for each in self.subscriptions]
        if re.fullmatch(rf"/subscriptions/[\w-]+/{PROVIDER}", path):
            return [self.server()] if SUBSCRIPTION in path else []
        if path.endswith("/virtualNetworkLinks"):
            return [{"properties": {"virtualNetwork": {"id": each}}} for each in self.links]
        if path == f"{RESOURCE_ID}/providers/Microsoft.Insights/metrics":
            return {"value": [{"timeseries": [{"data": [{"maximum": self.percent}, {}]}]}]}
        if path == RESOURCE_ID:
            return self.server()
        return self.lists.get(path.removeprefix(f"{RESOURCE_ID}/")) if path.startswith(RESOURCE_ID) else None

    def _paged(self, address: urllib.parse.SplitResult, query: dict[str, str], items: list[Any]) -> Answer:
        start = int(query.get("$skiptoken", "0"))
        body: dict[str, Any] = {"value": items[start : start + self.page]}
        if start + self.page < len(items):
            more = urllib.parse.urlencode({**query, "$skiptoken": start + self.page})
            body["nextLink"] = f"{self.url}{address.path}?{more}"
        return Answer(200, body)


# What a new server has, as far as the check looks at it.
PARAMETERS = {
    "azure.extensions": "",
    "max_connections": "859",
    "reserved_connections": "5",
    "superuser_reserved_connections": "10",
    "require_secure_transport": "on",
    "ssl_min_protocol_version": "TLSv1.2",
    "pgbouncer.enabled": "false",
}


def ready_server() -> dict[str, Any]:
    enabled = member("ServerPublicNetworkAccessState", "ENABLED")
    return made(
        "ServerProperties",
        version="17",
        minor_version="10",
        state=member("ServerState", "READY"),
        fully_qualified_domain_name="demo.postgres.database.azure.com",
        administrator_login="dba",
        storage=made("Storage", storage_size_gb=128, auto_grow=member("StorageAutoGrow", "DISABLED")),
        auth_config=made(
            "AuthConfig",
            active_directory_auth=member("MicrosoftEntraAuth", "ENABLED"),
            password_auth=member("PasswordBasedAuth", "ENABLED"),
        ),
        network=made("Network", public_network_access=enabled),
        high_availability=made(
            "HighAvailability",
            mode=member("PostgreSqlFlexibleServerHighAvailabilityMode", "ZONE_REDUNDANT"),
            state=member("HighAvailabilityState", "HEALTHY"),
        ),
        maintenance_window=made(
            "MaintenanceWindow", custom_window="Enabled", day_of_week=0, start_hour=3, start_minute=30
        ),
        replication_role=member("ReplicationRole", "PRIMARY"),
        private_endpoint_connections=[],
    )


def rule(name: str, start: str, end: str) -> dict[str, Any]:
    properties = made("FirewallRuleProperties", start_ip_address=start, end_ip_address=end)
    return made("FirewallRule", name=name, properties=properties)


def parameter(name: str, value: str, pending: bool = False) -> dict[str, Any]:
    properties = made("ConfigurationProperties", value=value, is_config_pending_restart=pending)
    return made("Configuration", name=name, properties=properties)


def administrator(name: str) -> dict[str, Any]:
    user = member("PrincipalType", "USER")
    properties = made("AdministratorMicrosoftEntraProperties", principal_name=name, principal_type=user)
    return made("AdministratorMicrosoftEntra", name="guid", properties=properties)


def replica(name: str, state: str) -> dict[str, Any]:
    properties = made("ServerProperties", replica=made("Replica", replication_state=member("ReplicationState", state)))
    return made("Server", id=f"{RESOURCE_ID}{name}", name=name, location="westeurope", properties=properties)


def virtual_endpoint(*names: str) -> dict[str, Any]:
    properties = made("VirtualEndpointResourceProperties", endpoint_type="ReadWrite", virtual_endpoints=list(names))
    return made("VirtualEndpoint", name="endpoint", properties=properties)


def event(status: str, start: str) -> dict[str, Any]:
    status = member("MaintenanceEventStatus", status)
    properties = made("MaintenanceEventResourceProperties", status=status, start_time=start)
    return made("MaintenanceEventResource", name="event", properties=properties)


def private_endpoint(status: str) -> dict[str, Any]:
    state = made("PrivateLinkServiceConnectionState", status=member("PrivateEndpointServiceConnectionStatus", status))
    endpoint = made("PrivateEndpoint", id=f"{NETWORK}/privateEndpoints/pe-demo")
    properties = made(
        "PrivateEndpointConnectionProperties", private_endpoint=endpoint, private_link_service_connection_state=state
    )
    return made("PrivateEndpointConnection", name="pe-demo.1", properties=properties)


@contextlib.contextmanager
def serving(arm: Arm, context: ssl.SSLContext) -> Iterator[Arm]:
    """Serve the API as https://localhost."""

    def answer(request: Request) -> Reply:
        found = arm.answer(request.method, request.target, request.headers.get("Authorization", ""))
        return Reply(found.status, found.text, {name.replace("_", "-"): value for name, value in found.headers.items()})

    with web.serving(answer, context) as arm.url:
        yield arm


def soon(hours: float) -> str:
    """Return a moment some hours from now, as Azure writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + hours * 3600))
