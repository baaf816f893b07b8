"""The places of Azure's management API, one for each cloud."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from azpg_backend.plan import hosts

# For a cloud that is not listed below, or a gateway in front of one that is. Like azure-identity's own
# AZURE_AUTHORITY_HOST it decides who is sent a token, so it is taken from the environment only.
VARIABLE = "AZURE_RESOURCE_MANAGER_URL"


class Place(NamedTuple):
    """Where a cloud's management API is.

    url: without a slash at its end.
    scope: the OAuth scope of a token for it.
    """

    url: str
    scope: str


# Azure CLI 2.91.0, azure/cli/core/cloud.py; azure-mgmt-core 1.6.0, tools.py, for the scopes.
PLACES = {
    "AzureCloud": Place("https://management.azure.com", "https://management.azure.com/.default"),
    "AzureUSGovernment": Place(
        "https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net/.default"
    ),
    "AzureChinaCloud": Place("https://management.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default"),
    "AzureBleuCloud": Place("https://management.sovcloud-api.fr", "https://management.sovcloud-api.fr/.default"),
}


def place_of(host: str, environ: Mapping[str, str] = os.environ) -> Place:
    """Return where to ask for a server of this name. Raises ValueError if the environment names no usable place."""
    if url := environ.get(VARIABLE, "").rstrip("/"):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError(f"{VARIABLE} is not an https:// address")
        return Place(url, f"{url}/.default")
    cloud = hosts.cloud_of(host) or hosts.CLOUDS[0]
    return PLACES[cloud.name]
