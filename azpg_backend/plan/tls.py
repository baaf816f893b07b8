"""The judging of TLS: what would weaken it is refused or raised, what is doubtful is warned about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from azpg_backend.errors import settings as find
from azpg_backend.errors.problem import Problem
from azpg_backend.plan import hosts, texts
from azpg_backend.plan.defaults import MINIMUM_PROTOCOL
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.plan.sources import Setting

# sslmode's values from weakest to strongest (libpq, "SSL Mode Descriptions").
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PROTOCOLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# They encrypt if the server wants to, or verify nobody, and are what samples and dj_database_url's ssl_require write.
RAISED = frozenset({"allow", "prefer", "require"})
# What Docker and Podman call the machine that runs the container.
_CONTAINER_HOSTS = frozenset({"host.docker.internal", "host.containers.internal"})
VERIFYING = frozenset({"verify-ca", "verify-full"})


def judged(own: Mapping[str, Setting], entra: bool) -> tuple[dict[str, Setting], list[Problem]]:
    """Judge the keywords that decide on protection; return what is left of the settings, and the problems.

    What is refused is taken out, so a Plan is safe to act on even if it has errors: azpg_check goes on looking with
    the defaults.
    """
    kept = dict(own)
    problems = []
    for keyword, judge in _JUDGES.items():
        problem = judge(own[keyword], entra) if keyword in own else None
        if problem is None:
            continue
        problems.append(problem)
        if problem.is_error:
            del kept[keyword]
        elif problem.id == "azpg.W015":
            kept[keyword] = own[keyword]._replace(value="verify-full")
    if (crossed := _crossed(kept)) is not None:
        problems.append(crossed)
        del kept["ssl_max_protocol_version"]
    return kept, problems


def _crossed(kept: Mapping[str, Setting]) -> Problem | None:
    """Return a problem if no version of TLS is left between the lower limit and the upper one."""
    most = kept.get("ssl_max_protocol_version")
    least = kept.get("ssl_min_protocol_version")
    if most is None or least is None or not most.value or most.value.lower() >= least.value.lower():
        return None
    what = f"is {texts.shown(most.value)}, older than ssl_min_protocol_version, which is {texts.shown(least.value)}"
    return find.invalid(most.where, what, "Remove one of the two: no version of TLS is both.")


def judged_local(own: Mapping[str, Setting]) -> tuple[dict[str, Setting], list[Problem]]:
    """Judge the same keywords for a local server that may do without TLS: any mode that libpq knows is all right.

    So "require" stays what it is. It encrypts without verifying, which is more than plaintext_on_loopback asks for,
    and a local server seldom has a certificate that verify-full would accept.
    """
    kept = dict(own)
    problems = []
    for keyword in own.keys() & _JUDGES.keys():
        setting = own[keyword]
        if keyword == "sslmode" and (mode := meant_mode(setting.value)) in SSL_MODES:
            kept[keyword] = setting._replace(value=mode)
        elif keyword == "sslmode" or not isinstance(setting.value, str):
            what = f"is {texts.shown(setting.value)}, which libpq does not know"
            problems.append(find.invalid(setting.where, what, "Remove it."))
            del kept[keyword]
    return kept, problems


def meant_mode(value: Any) -> str:
    """Return the sslmode that a text means, without blanks and in lower case."""
    return value.strip().lower() if isinstance(value, str) else ""


def _mode(setting: Setting, entra: bool) -> Problem | None:
    mode, where = setting.value, setting.where
    meant = meant_mode(mode)
    if meant and mode == "verify-full":
        return None
    if meant and mode == "verify-ca":
        return find.entra_needs_verify_full(where, mode) if entra else find.verify_ca(where)
    if meant in RAISED or meant == "verify-full":
        return find.raised_sslmode(where, mode)
    hint = "Remove it (verify-full is set for you)."
    if meant == "disable":
        why = "everything would travel in readable form, the password first"
        hint += " For a server on this machine, set 'azpg': {'plaintext_on_loopback': True} in OPTIONS instead."
        return find.weak_tls(where, mode, why, hint)
    if meant == "verify-all":
        hint += " Microsoft's page says 'verify-all', but libpq's word is 'verify-full'."
    return find.invalid(where, f"is {texts.shown(mode)}, which libpq does not know", hint)


def _protocol(setting: Setting, entra: bool) -> Problem | None:
    value, where = setting.value, setting.where
    names = {name.lower(): rank for rank, name in enumerate(PROTOCOLS)}
    hint = f"Remove it ({MINIMUM_PROTOCOL} or newer is set for you), or use 'TLSv1.2' or 'TLSv1.3'."
    if isinstance(value, str) and not value:
        # libpq takes an empty maximum for none, as if the keyword were not there.
        lower = setting.keyword == "ssl_min_protocol_version"
        return find.weak_tls(where, value, "empty means no lower limit to libpq", hint) if lower else None
    if not isinstance(value, str) or value.lower() not in names:
        return find.invalid(where, f"is {texts.shown(value)}, which libpq does not know", hint)
    if names[value.lower()] < PROTOCOLS.index(MINIMUM_PROTOCOL):
        return find.weak_tls(where, value, "TLS 1.0 and 1.1 are broken, and Azure refuses them", hint)
    return None


def _gss(setting: Setting, entra: bool) -> Problem | None:
    hint = "Remove it; Azure Database for PostgreSQL has no GSSAPI."
    if isinstance(setting.value, str) and setting.value == "disable":
        return None
    if not isinstance(setting.value, str) or setting.value not in ("prefer", "require"):
        return find.invalid(setting.where, f"is {texts.shown(setting.value)}, which libpq does not know", hint)
    why = "with a Kerberos ticket libpq would encrypt with GSSAPI instead of verified TLS"
    return find.weak_tls(setting.where, setting.value, why, hint)


def _root(setting: Setting, entra: bool) -> Problem | None:
    value, where = setting.value, setting.where
    remove = "Remove it to use the roots in this package."
    if not isinstance(value, str) or not value:
        return find.invalid(where, f"is {texts.shown(value)}, not the path of a file", remove)
    if value == "system":
        return find.system_roots(where)
    if value.endswith("/") or os.path.isdir(value):
        return find.invalid(where, f"is {texts.shown(value)}, a folder, and libpq reads one file", remove)
    return None if os.path.isabs(value) else find.relative_path(where, value)


_JUDGES = {
    "sslmode": _mode,
    "ssl_min_protocol_version": _protocol,
    "ssl_max_protocol_version": _protocol,
    "gssencmode": _gss,
    "sslrootcert": _root,
}


def endpoint_problems(
    endpoints: tuple[Endpoint, ...], host: Setting, own_roots: bool, local: bool, service: str = ""
) -> list[Problem]:
    """Judge whether each server's name can be verified.

    host: where the names come from.
    own_roots: sslrootcert is set, so the packaged roots don't matter.
    local: local servers are expected (plaintext_on_loopback), even if the user asks for TLS.
    service: the connection service, which was to name the host, as it may be shown.
    """
    if len(endpoints) > 1 and any(not each.host for each in endpoints):
        return [find.missing_element(host.where)]
    remote = [each.host for each in endpoints if not (local and each.is_local)]
    found = [find.missing_host(host.where, service)] if "" in remote else []
    found += filter(None, (_endpoint(name, host.where, own_roots) for name in remote if name))
    return list(dict.fromkeys(found))


def _endpoint(name: str, where: Any, own_roots: bool) -> Problem | None:
    if hosts.is_socket_directory(name):
        why = "a socket directory, over which libpq never uses TLS"
        hint = "Set HOST to the server's full name, or OPTIONS['azpg']['plaintext_on_loopback'] to True for a "
        return find.weak_tls(where, name, why, hint + "server on this machine.")
    if cloud := hosts.unproven_cloud(name):
        return None if own_roots else find.unproven_cloud(where, name, cloud)
    if hosts.cloud_of(name) is not None and ".privatelink." not in name.lower():
        return None
    if hosts.is_loopback(name):
        return find.local_host(where, name)
    if ("." not in name and not hosts.is_ip_address(name)) or name.lower() in _CONTAINER_HOSTS:
        return find.short_host(where, name)
    return find.not_azure_host(where, name, dict.fromkeys(cloud.suffix for cloud in hosts.CLOUDS))
