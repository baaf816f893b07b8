"""From Microsoft's models to plain values: each part of a server that is read, with the action it needs."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, NamedTuple

from azpg_backend.azure.facts import Event, Parameter, PrivateEndpoint, Rule, Server
from azpg_backend.plan import resource_id
from azpg_backend.plan.resource_id import ResourceId

_PREFIX = "Microsoft.DBforPostgreSQL/flexibleServers"
# What else is read: the server itself, and the subscriptions in which to look for it.
READ_SERVER = f"{_PREFIX}/read"
READ_SUBSCRIPTIONS = "Microsoft.Resources/subscriptions/read"
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


class Part(NamedTuple):
    """A part of what Azure knows of a server.

    field: of Known.
    action: that the identity needs.
    read: asks for it.
    wanted: whether there is anything to ask for.
    """

    field: str
    action: str
    read: Callable[[Any, Server], Any]
    wanted: Callable[[Server], bool] = lambda server: True


def server(model: Any) -> Server:
    """Read a server. Raises ValueError if it has no name or id."""
    properties, sku = model.properties, model.sku
    if properties is None or not model.id:
        raise ValueError("the server has no properties")
    network, ha, auth = properties.network, properties.high_availability, properties.auth_config
    storage, window = properties.storage, properties.maintenance_window
    return Server(
        id=resource_id.parse(model.id),
        host=_text(properties.fully_qualified_domain_name).lower(),
        state=_text(properties.state),
        version=".".join(filter(None, (_text(properties.version), _text(properties.minor_version)))),
        tier=_text(sku and sku.tier),
        sku=_text(sku and sku.name),
        ha_mode=_text(ha and ha.mode) or "Disabled",
        ha_state=_text(ha and ha.state) or "NotEnabled",
        public=_text(network and network.public_network_access) != "Disabled",
        subnet=_text(network and network.delegated_subnet_resource_id),
        zone=_text(network and network.private_dns_zone_arm_resource_id),
        entra=_text(auth and auth.active_directory_auth) == "Enabled",
        password=_text(auth and auth.password_auth) != "Disabled",
        role=_text(properties.replication_role) or "Primary",
        source=_text(properties.source_server_resource_id),
        administrator=_text(properties.administrator_login),
        window=_window(window),
        storage_gb=int((storage and storage.storage_size_gb) or 0),
        auto_grow=_text(storage and storage.auto_grow) == "Enabled",
        endpoints=tuple(_endpoint(each) for each in properties.private_endpoint_connections or ()),
    )


def _endpoint(model: Any) -> PrivateEndpoint:
    found = model.properties
    state = found and found.private_link_service_connection_state
    endpoint = _text(found and found.private_endpoint and found.private_endpoint.id)
    return PrivateEndpoint(endpoint.rpartition("/")[2], _text(state and state.status), _text(model.name))


def _window(model: Any) -> str:
    if model is None or _text(model.custom_window) != "Enabled":
        return ""
    return f"{_DAYS[(model.day_of_week or 0) % 7]} {model.start_hour or 0:02}:{model.start_minute or 0:02} UTC"


def _text(value: Any) -> str:
    return str(getattr(value, "value", value) or "")


def _items(azure: Any, server: Server, operations: str, method: str = "list_by_server") -> list[Any]:
    client = azure.client(server.id.subscription)
    return list(getattr(getattr(client, operations), method)(server.id.group, server.id.server))


def _rules(azure: Any, server: Server) -> tuple[Rule, ...]:
    models = _items(azure, server, "firewall_rules")
    return tuple(
        Rule(_text(each.name), _text(each.properties.start_ip_address), _text(each.properties.end_ip_address))
        for each in models
    )


def _parameters(azure: Any, server: Server) -> dict[str, Parameter]:
    return {
        _text(each.name): Parameter(_text(each.properties.value), bool(each.properties.is_config_pending_restart))
        for each in _items(azure, server, "configurations")
        if each.properties is not None
    }


def administrators(azure: Any, server: Server) -> tuple[str, ...]:
    """Return the names of a server's Microsoft Entra administrators."""
    models = _items(azure, server, "administrators_microsoft_entra")
    return tuple(_text(each.properties.principal_name or each.properties.object_id) for each in models)


def _replicas(azure: Any, server: Server) -> dict[str, str]:
    models = _items(azure, server, "replicas")
    return {
        _text(each.name): _text(each.properties.replica and each.properties.replica.replication_state)
        for each in models
    }


def virtual_endpoints(azure: Any, server: Server) -> tuple[str, ...]:
    """Return the host names of a server's virtual endpoints, in full."""
    suffix = server.host.partition(".")[2]
    found = [
        _text(name).lower()
        for each in _items(azure, server, "virtual_endpoints")
        for name in each.properties.virtual_endpoints or ()
    ]
    return tuple(name if name.endswith(suffix) else f"{name}.{suffix}" for name in found)


def _events(azure: Any, server: Server) -> tuple[Event, ...]:
    models = _items(azure, server, "maintenance_events", "list")
    return tuple(Event(_text(each.properties.status), _moment(each.properties.start_time)) for each in models)


def _moment(value: Any) -> datetime.datetime | None:
    """Return a time as UTC; None if the client could not read it, and hands over what Azure sent."""
    if not isinstance(value, datetime.datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)


def _links(azure: Any, server: Server) -> tuple[str, ...]:
    return tuple(azure.zone_links(server.zone))


PARTS = (
    Part("rules", f"{_PREFIX}/firewallRules/read", _rules, lambda server: not server.subnet),
    Part("parameters", f"{_PREFIX}/configurations/read", _parameters),
    Part("administrators", f"{_PREFIX}/administrators/read", administrators, lambda server: server.entra),
    Part("replicas", f"{_PREFIX}/replicas/read", _replicas, lambda server: not server.source),
    Part("virtual_endpoints", f"{_PREFIX}/virtualEndpoints/read", virtual_endpoints),
    Part("events", f"{_PREFIX}/maintenanceEvents/read", _events),
    Part(
        "links",
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read",
        _links,
        lambda server: bool(server.zone),
    ),
    Part(
        "storage_percent",
        "Microsoft.Insights/metrics/read",
        lambda azure, server: azure.storage_percent(server.id),
    ),
)


def servers(azure: Any, subscription: str) -> list[Server]:
    """Return the servers of a subscription."""
    return [server(each) for each in azure.client(subscription).servers.list_by_subscription()]


def one(azure: Any, wanted: ResourceId) -> Server:
    """Return the server of a resource id."""
    return server(azure.client(wanted.subscription).servers.get(wanted.group, wanted.server))
