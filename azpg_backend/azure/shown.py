"""A server as ``az postgres flexible-server show`` prints it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from azpg_backend.azure.facts import Server
from azpg_backend.plan import hosts, resource_id

COMMAND = "az postgres flexible-server show --resource-group GROUP --name SERVER --output json"
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_ROLE = re.compile(r"[^\x00-\x1f\x7f]{1,63}")


class NotAServer(ValueError):
    """The text is not what that command prints. Says what it is instead."""


def server_of(text: str) -> Server:
    """Read a server. Raises NotAServer; the text itself is never repeated."""
    found = _object(text)
    # Azure's own answers keep most of it below "properties"; az does not.
    below = found.get("properties")
    every = {**found, **below} if isinstance(below, Mapping) else found
    host = str(every.get("fullyQualifiedDomainName") or "").lower()
    if not _HOST.fullmatch(host) or hosts.cloud_of(host) is None:
        raise NotAServer(f"it has no fullyQualifiedDomainName of Azure's; print it with: {COMMAND}")
    try:
        this = resource_id.parse(str(every.get("id")))
    except ValueError:
        raise NotAServer("its id is not that of a flexible server") from None
    methods, sku = _below(every, "authConfig"), _below(every, "sku")
    administrator = str(every.get("administratorLogin") or "")
    return Server(
        this,
        host,
        str(every.get("state") or ""),
        tier=str(sku.get("tier") or ""),
        # Newer releases of az call it by its new name.
        entra="Enabled" in (methods.get("activeDirectoryAuth"), methods.get("microsoftEntraAuth")),
        password=methods.get("passwordAuth") != "Disabled",
        administrator=administrator if _ROLE.fullmatch(administrator) else "",
    )


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAServer(f"it is not JSON; print it with: {COMMAND}") from None
    if isinstance(found, list):
        if len(found) != 1:
            raise NotAServer(f"it is a list of {len(found)} servers; print one with: {COMMAND}")
        found = found[0]
    if not isinstance(found, Mapping):
        raise NotAServer(f"it is not an object; print it with: {COMMAND}")
    return found


def _below(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
