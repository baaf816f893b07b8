"""The resource id of a server, as the Azure portal shows it under Properties."""

from __future__ import annotations

import re
from typing import NamedTuple

# Azure ignores case in it, except in the server's own name, which is lower case anyway.
_FORM = re.compile(
    r"/subscriptions/(?P<subscription>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"/resourceGroups/(?P<group>[\w.()-]{1,90})"
    r"/providers/Microsoft\.DBforPostgreSQL/flexibleServers/(?P<server>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)/?",
    re.IGNORECASE | re.ASCII,
)
EXAMPLE = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.DBforPostgreSQL/flexibleServers/SERVER"


class ResourceId(NamedTuple):
    """A flexible server in Azure Resource Manager.

    subscription: a GUID.
    group: its resource group.
    server: the first label of its host name.
    """

    subscription: str
    group: str
    server: str

    def __str__(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.DBforPostgreSQL/flexibleServers/{self.server}"
        )


def parse(text: str) -> ResourceId:
    """Read a resource id. Raises ValueError if it is not that of a flexible server."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("not the resource id of a flexible server")
    return ResourceId(found["subscription"].lower(), found["group"], found["server"].lower())
