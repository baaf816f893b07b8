"""The ``az`` commands that mend a server, checked against Azure CLI 2.91.0."""

from __future__ import annotations

import shlex

from azpg_backend.plan.resource_id import ResourceId


def on(server: ResourceId, command: str, **arguments: str) -> str:
    """Return a command about a server itself, which calls its name --name."""
    return _command(server, f"az postgres flexible-server {command}", {"name": server.server, **arguments})


def part(server: ResourceId, command: str, **arguments: str) -> str:
    """Return a command about a part of a server, which calls the server's name --server-name."""
    return _command(server, f"az postgres flexible-server {command}", {"server_name": server.server, **arguments})


def parameter(server: ResourceId, name: str, value: str) -> str:
    return part(server, "parameter set", name=name, value=value)


def link(zone: str, network: str = "VNET_RESOURCE_ID") -> str:
    """Return the command that links a private DNS zone to a virtual network.

    zone: its resource id.
    """
    parts = zone.split("/")
    subscription, group, name = parts[2], parts[4], parts[-1]
    return (
        f"az network private-dns link vnet create --subscription {subscription} --resource-group {shlex.quote(group)} "
        f"--zone-name {name} --name LINK_NAME --virtual-network {network} --registration-enabled false"
    )


def _command(server: ResourceId, command: str, arguments: dict[str, str]) -> str:
    flags = " ".join(f"--{key.replace('_', '-')} {_quoted(value)}" for key, value in arguments.items())
    return (
        f"{command} --subscription {server.subscription} --resource-group {shlex.quote(server.group)} {flags}"
    ).rstrip()


def _quoted(value: str) -> str:
    return value if value.isupper() and value.replace("_", "").isalpha() else shlex.quote(value)
