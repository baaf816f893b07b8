"""Whether packets of this machine can reach the server, by what Azure says of its state or its network."""

from __future__ import annotations

import ipaddress

from azpg_backend.azure import commands
from azpg_backend.azure.facts import Known, Seen, Server
from azpg_backend.errors.problem import Problem, Severity

# Rules that a message names; more are counted.
_SHOWN = 5


def problems(known: Known, seen: Seen) -> list[Problem]:
    """Return why nobody gets to the server. There is nothing to say once the login worked."""
    if seen.logged_in:
        return []
    server = known.server
    if server.state and server.state != "Ready":
        return [_not_ready(server)]
    if server.subnet:
        return _in_network(known, seen)
    if seen.addresses and not seen.own_address and _are_private(seen.addresses):
        return _by_endpoint(server, seen)
    if not server.public:
        return [_without_public_access(server, seen)]
    return _by_rules(known, seen)


def _not_ready(server: Server) -> Problem:
    if server.state == "Stopped":
        hint = f"Start it: {commands.on(server.id, 'start')}. Azure starts a stopped server by itself after 7 days."
        return Problem("azure.stopped", f"the server {server.id.server} is stopped", hint)
    if server.state in {"Disabled", "Inaccessible", "Dropping"}:
        hint = (
            "Look at Resource health on its page in the Azure portal. Inaccessible usually means that the key of its "
            f"data encryption can't be read any more: {commands.on(server.id, 'show', query='dataEncryption')}"
        )
    else:
        hint = f"Wait until it is Ready: {commands.on(server.id, 'show', query='state')}"
    return Problem("azure.not_ready", f"the server {server.id.server} is {server.state}, not Ready", hint)


def _in_network(known: Known, seen: Seen) -> list[Problem]:
    server = known.server
    zone = server.zone.rpartition("/")[2] or "its private DNS zone"
    if not seen.addresses:
        if known.links is None:
            linked = "Azure did not say to which networks it is linked"
        elif known.links:
            linked = f"it is linked to {', '.join(each.rpartition('/')[2] for each in known.links)} only"
        else:
            linked = "it is linked to no network"
        message = (
            f"the server exists only in a virtual network, under a name in the private DNS zone {zone}: this machine "
            f"does not see that zone, and {linked}"
        )
        return [Problem("azure.zone_not_linked", message, _link_hint(server.zone))]
    return [_route(server, seen)] if seen.unanswered else []


def _link_hint(zone: str) -> str:
    command = commands.link(zone) if zone.count("/") >= 8 else "az network private-dns link vnet create"
    return (
        f"Link the zone to this machine's virtual network: {command}. A custom DNS server must forward to "
        "168.63.129.16; a machine outside of Azure needs a VPN and a DNS resolver there."
    )


def _route(server: Server, seen: Seen) -> Problem:
    return Problem(
        "azure.route",
        f"the server is Ready and its private address {', '.join(seen.addresses)} is right, so packets get lost on the "
        "way: no firewall rule of the server applies to it",
        f"Check the peering, the routes and the network security groups between this machine's network and "
        f"{_place(server)}: az network watcher test-connectivity --source-resource VM --dest-address "
        f"{seen.addresses[0]} --dest-port {seen.port}",
    )


def _place(server: Server) -> str:
    return f"the subnet {server.subnet.rpartition('/')[2]}" if server.subnet else "the private endpoint"


def _by_endpoint(server: Server, seen: Seen) -> list[Problem]:
    if server.endpoints and not _approved(server):
        return [_unapproved(server)]
    return [_route(server, seen)] if seen.unanswered else []


def _approved(server: Server) -> list[str]:
    return [each.name for each in server.endpoints if each.status == "Approved"]


def _unapproved(server: Server) -> Problem:
    first = server.endpoints[0]
    command = commands.part(
        server.id,
        "private-endpoint-connection approve",
        name=first.connection or "CONNECTION",
        description="approved",
    )
    message = f"the private endpoint {first.name} is {first.status or 'in no known state'}, not Approved"
    return Problem("azure.private_endpoint", message, f"Approve it: {command}")


def _without_public_access(server: Server, seen: Seen) -> Problem:
    if approved := _approved(server):
        found = f"leads to {', '.join(seen.addresses)}" if seen.addresses else "leads nowhere"
        message = (
            f"public access is off and the private endpoint {', '.join(approved)} is the way in, but the name {found} "
            "here: this machine's network does not use the private DNS zone of the endpoint"
        )
        zone = f"privatelink.{server.host.partition('.')[2]}"
        path = f"/subscriptions/{server.id.subscription}/resourceGroups/ZONE_GROUP/x/x/x/x/{zone}"
        return Problem("azure.zone_not_linked", message, _link_hint(path))
    if server.endpoints:
        return _unapproved(server)
    update = commands.on(server.id, "update", public_access="Enabled")
    message = f"public access to {server.id.server} is off, and it has no private endpoint: nobody can reach it"
    hint = (
        f"Turn it on and add a firewall rule: {update}; or make a private endpoint: az network private-endpoint create"
    )
    return Problem("azure.public_access_off", message, hint)


def _by_rules(known: Known, seen: Seen) -> list[Problem]:
    if known.rules is None or not (seen.unanswered or seen.own_address):
        return []
    address = seen.own_address or "YOUR_PUBLIC_ADDRESS"
    create = commands.part(
        known.server.id, "firewall-rule create", name="django", start_ip_address=address, end_ip_address=address
    )
    hint = f"Let it in: {create}. It takes up to five minutes until the rule works."
    if not known.rules:
        message = "the server has no firewall rule, so it lets nobody in"
        if seen.own_address:
            message += f"; it sees this machine as {seen.own_address}"
        return [Problem("azure.no_firewall_rule", message, hint)]
    return _by_other_rules(known, seen, hint)


def _by_other_rules(known: Known, seen: Seen, hint: str) -> list[Problem]:
    rules = known.rules or ()
    ranges = [each for each in rules if not each.is_azure]
    shown = "; ".join(map(str, rules[:_SHOWN])) + (f"; {len(rules) - _SHOWN} more" if len(rules) > _SHOWN else "")
    if seen.own_address:
        if any(each.has(seen.own_address) for each in ranges):
            return []
        message = f"the server sees this machine as {seen.own_address}, which no firewall rule lets in ({shown})"
        return [Problem("azure.other_firewall_rule", message, hint)]
    if any(each.has("0.0.0.0") and each.has("255.255.255.255") for each in ranges):  # noqa: S104 (a rule's range)
        return []
    message = (
        f"the server is Ready, lets in only {shown}, and did not answer this machine: so its public address is none of "
        "these"
    )
    return [Problem("azure.other_firewall_rule", message, hint)]


def _are_private(addresses: tuple[str, ...]) -> bool:
    try:
        return all(ipaddress.ip_address(each.partition("%")[0]).is_private for each in addresses)
    except ValueError:
        return False


def softened(problem: Problem) -> Problem:
    """Return a problem as no more than a warning."""
    if problem.severity <= Severity.WARNING:
        return problem
    return Problem(problem.code, problem.message, problem.hint, Severity.WARNING)
