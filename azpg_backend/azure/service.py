"""Whether the server, once reached, does what the alias wants of it."""

from __future__ import annotations

import datetime

from azpg_backend.azure import commands
from azpg_backend.azure.facts import Known, Seen
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan import hosts

# Percent of the storage. Azure makes a server read-only at 95 %, or with less than 5 GiB left.
_FULL, _NEARLY_FULL = 95.0, 85.0
# Hours before maintenance in which it is worth a warning.
_SOON = 48
_RESERVED = ("reserved_connections", "superuser_reserved_connections")


def problems(known: Known, seen: Seen, now: datetime.datetime | None = None) -> list[Problem]:
    """Return what the server will refuse, or soon will."""
    if known.server.state == "Stopped":
        return []
    found = [_pgbouncer(known, seen), _extensions(known, seen), *_transport(known, seen), _connections(known, seen)]
    found += [_authentication(known, seen), _administrators(known, seen), _storage(known)]
    found += [*_standby(known), *_replication(known, seen), _maintenance(known, now), _pending(known)]
    return [each for each in found if each is not None]


def _warning(code: str, message: str, hint: str) -> Problem:
    return Problem(code, message, hint, Severity.WARNING)


def _pgbouncer(known: Known, seen: Seen) -> Problem | None:
    if seen.port not in hosts.PGBOUNCER_PORTS:
        return None
    server = known.server
    if server.tier == "Burstable":
        command = commands.on(server.id, "update", tier="GeneralPurpose", sku_name="Standard_D2ds_v5")
        message = f"PORT {seen.port} is PgBouncer's, which the tier Burstable ({server.sku}) does not have"
        return Problem("azure.pgbouncer_burstable", message, f"Use PORT 5432, or another tier: {command}")
    value = known.parameter("pgbouncer.enabled").lower()
    if not value or value in {"true", "on"}:
        return None
    command = commands.parameter(server.id, "pgbouncer.enabled", "true")
    message = f"PORT {seen.port} is PgBouncer's, and pgbouncer.enabled is {value}"
    return Problem("azure.pgbouncer_off", message, f"Turn it on, without a restart: {command}; or use PORT 5432.")


def _extensions(known: Known, seen: Seen) -> Problem | None:
    parameter = known.parameters.get("azure.extensions")
    if parameter is None:
        return None
    allowed = [each.strip().lower() for each in parameter.value.split(",") if each.strip()]
    missing = [name for name in sorted(seen.extensions) if name.lower() not in allowed]
    if not missing:
        return None
    command = commands.parameter(known.server.id, "azure.extensions", ",".join([*allowed, *missing]))
    named = ", ".join(f"{name} ({seen.extensions[name]})" for name in missing)
    message = f"azure.extensions does not allow {named}: migrate will fail, unless the database has it already"
    return _warning("azure.extension_not_allowed", message, f"Allow it: {command}")


def _transport(known: Known, seen: Seen) -> list[Problem]:
    found = []
    if known.parameter("require_secure_transport").lower() in {"off", "false"}:
        command = commands.parameter(known.server.id, "require_secure_transport", "on")
        message = "require_secure_transport is off: the server also takes connections without TLS (never this engine's)"
        found.append(_warning("azure.transport", message, f"Turn it on: {command}"))
    least = known.parameter("ssl_min_protocol_version")
    if least == "TLSv1.3" and seen.tls_max == "TLSv1.2":
        message = "the server's ssl_min_protocol_version is TLSv1.3, the alias's ssl_max_protocol_version TLSv1.2"
        hint = f"Remove ssl_max_protocol_version, or: {_tls12(known)}"
        found.append(Problem("azure.transport", message, hint))
    return found


def _tls12(known: Known) -> str:
    return commands.parameter(known.server.id, "ssl_min_protocol_version", "TLSv1.2")


def _connections(known: Known, seen: Seen) -> Problem | None:
    if seen.port in hosts.PGBOUNCER_PORTS or not known.parameter("max_connections").isdecimal():
        return None
    reserved = [known.parameter(name) for name in _RESERVED]
    usable = int(known.parameter("max_connections")) - sum(int(each) for each in reserved if each.isdecimal())
    if seen.pool <= usable:
        return None
    message = f"the pool of one process may open {seen.pool} connections, and the server has {usable} for users"
    hint = f"Lower max_size in OPTIONS['pool'], or use PgBouncer: {_enable_pgbouncer(known)}"
    return _warning("azure.max_connections", message, hint)


def _enable_pgbouncer(known: Known) -> str:
    return commands.parameter(known.server.id, "pgbouncer.enabled", "true")


def _authentication(known: Known, seen: Seen) -> Problem | None:
    server = known.server
    if seen.entra and not server.entra:
        command = commands.on(server.id, "update", microsoft_entra_auth="Enabled")
        message = "the alias logs in with Microsoft Entra, which is off on the server"
        return Problem("azure.entra_off", message, f"Turn it on, which restarts the server: {command}")
    if not seen.entra and not server.password:
        command = commands.on(server.id, "update", password_auth="Enabled")  # noqa: S106 (an option of az)
        message = "the alias logs in with a password, and the server takes Microsoft Entra only"
        return Problem("azure.password_off", message, f"Set OPTIONS['azpg']['auth'] to 'entra', or: {command}")
    return None


def _administrators(known: Known, seen: Seen) -> Problem | None:
    if not known.server.entra or known.administrators is None or known.administrators:
        return None
    command = commands.part(
        known.server.id, "microsoft-entra-admin create", display_name="YOU", object_id="OBJECT_ID", type="User"
    )
    message = "Microsoft Entra is on and the server has no Microsoft Entra administrator: nobody can make Entra roles"
    grave = Severity.ERROR if seen.entra and not seen.logged_in else Severity.WARNING
    return Problem("azure.no_entra_admin", message, f"Add one: {command}", grave)


def _storage(known: Known) -> Problem | None:
    percent, server = known.storage_percent, known.server
    if percent is None or percent < _NEARLY_FULL:
        return None
    size = {"storage_size": str(server.storage_gb * 2)} if server.storage_gb else {"storage_size": "GIGABYTES"}
    grow = commands.on(server.id, "update", **size)
    hint = f"Grow it: {grow}. From then on by itself: {commands.on(server.id, 'update', storage_auto_grow='Enabled')}"
    if percent >= _FULL:
        message = f"the storage is full ({percent:g} % of {server.storage_gb} GiB): the server is read-only"
        return Problem("azure.storage_full", message, hint)
    message = f"the storage is nearly full ({percent:g} % of {server.storage_gb} GiB); read-only from {_FULL:g} % on"
    return _warning("azure.storage_full", message, hint)


def _standby(known: Known) -> list[Problem]:
    server = known.server
    if server.ha_mode == "Disabled" or server.ha_state == "Healthy":
        return []
    message = f"high availability is {server.ha_mode} and its standby {server.ha_state}: no failover is possible now"
    hint = f"Wait, and look again: {commands.on(server.id, 'show', query='highAvailability')}"
    return [_warning("azure.standby", message, hint)]


def _replication(known: Known, seen: Seen) -> list[Problem]:
    server = known.server
    found = []
    if "Replica" in server.role and seen.writes:
        primary = server.source.rpartition("/")[2]
        command = commands.on(server.id, "replica promote", promote_mode="standalone", promote_option="planned")
        message = f"the alias writes, and {server.id.server} is a read replica of {primary or 'another server'}"
        found.append(Problem("azure.replica", message, f"Use the primary's name as HOST, or make it one: {command}"))
    broken = [name for name, state in (known.replicas or {}).items() if state == "Broken"]
    if broken:
        message = f"the read replica {', '.join(broken)} no longer follows {server.id.server}"
        found.append(_warning("azure.replica", message, f"See: {commands.on(server.id, 'replica list')}"))
    return found


def _maintenance(known: Known, now: datetime.datetime | None) -> Problem | None:
    now = now or datetime.datetime.now(datetime.timezone.utc)
    show = commands.part(known.server.id, "maintenance-event list", maintenance_status="Upcoming")
    for event in known.events or ():
        if event.status == "InProgress":
            message = "maintenance is under way: connections may break for a minute"
            return _warning("azure.maintenance", message, f"See: {show}")
        if event.start is None or event.status not in {"Planned", "Rescheduled"}:
            continue
        hours = (event.start - now).total_seconds() / 3600
        if 0 <= hours <= _SOON:
            message = f"maintenance begins {event.start:%Y-%m-%d %H:%M} UTC: connections will break for a minute"
            return _warning("azure.maintenance", message, f"See: {show}")
    return None


def _pending(known: Known) -> Problem | None:
    waiting = sorted(name for name, each in known.parameters.items() if each.pending)
    if not waiting:
        return None
    message = f"{', '.join(waiting)} will change with the next restart"
    return _warning("azure.pending_restart", message, f"Restart it: {commands.on(known.server.id, 'restart')}")
