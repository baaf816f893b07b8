"""Settings that lead to servers of this machine under an Azure name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Settings = dict[str, Any]
SettingsFor = Callable[..., Settings]
EntraSettings = Callable[..., Settings]

HOST = "demo.postgres.database.azure.com"
# For tests of failures that would be tried again.
NO_RETRY = {"connect_retry_seconds": 0}
PASSWORD = "correct horse ' \\ battery"
MANAGED = {"auth": "entra", "credential": "azure.identity.ManagedIdentityCredential"}


def settings_at(port: int, root_file: str, **options: Any) -> Settings:
    """Return settings for a password login at a port of this machine."""
    return {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "USER": "app",
        "PASSWORD": PASSWORD,
        "HOST": HOST,
        "PORT": port,
        "OPTIONS": {"hostaddr": "127.0.0.1", "sslrootcert": root_file, "azpg": NO_RETRY, **options},
    }


def entra_settings_at(port: int, root_file: str, azpg: dict[str, Any] | None = None, **options: Any) -> Settings:
    """Return settings for a port of this machine; azpg replaces parts of OPTIONS["azpg"]."""
    path = {"hostaddr": "127.0.0.1", "sslrootcert": root_file}
    return {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "USER": "app",
        "HOST": HOST,
        "PORT": port,
        "OPTIONS": {**path, "azpg": {**MANAGED, **(azpg or {})}, **options},
    }
