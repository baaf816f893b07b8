"""System checks: what the settings alone show, in the words of the engine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.db import connections

from azpg_backend import trust
from azpg_backend.base import DatabaseWrapper
from azpg_backend.errors import settings
from azpg_backend.errors.settings import Place
from azpg_backend.plan import hosts

# Codes of trust.ca_file's problems, by check id. Errors are those with which libpq can't connect at all.
_CA_IDS = {
    "ca.file_invalid": "azpg.E005",
    "ca.file_missing": "azpg.W008",
    "ca.root_missing": "azpg.W009",
    "ca.not_a_root": "azpg.W010",
    "ca.root_expiring": "azpg.W011",
}


def own_wrappers() -> Iterator[DatabaseWrapper]:
    """Yield the connections whose ENGINE is this one or is built on it."""
    for alias in connections:
        wrapper = connections[alias]
        if isinstance(wrapper, DatabaseWrapper):
            yield wrapper


def check_settings(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report the policy's findings for every alias of this engine."""
    return [
        message(finding.id, finding.message, finding.hint)
        for wrapper in own_wrappers()
        for finding in wrapper.plan().findings
    ]


def check_ca_files(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Look into the files that sslrootcert names. Costs nothing where the packaged roots are used."""
    messages: list[checks.CheckMessage] = []
    for wrapper in own_wrappers():
        plan = wrapper.plan()
        path = plan.params.get("sslrootcert")
        if not plan.plaintext and isinstance(path, str) and path and path not in (trust.BUNDLE, "system"):
            messages += _judged(plan.alias, os.fspath(path), [each.host for each in plan.endpoints])
    return messages


def check_azure_identity(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report where a token is wanted and azure-identity, which is an extra, is not there to fetch it."""
    messages = []
    for wrapper in own_wrappers():
        plan = wrapper.plan()
        credential = plan.options.credential or ""
        wanted = isinstance(credential, str) and (not credential or credential.startswith("azure.identity."))
        if plan.options.auth == "entra" and wanted and not _is_installed("azure.identity"):
            finding = settings.no_azure_identity(Place(plan.alias, "azpg.auth"))
            messages.append(message(finding.id, finding.message, finding.hint))
    return messages


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # Its parent isn't there.
        return False


def _judged(alias: str, path: str, names: Sequence[str]) -> list[checks.CheckMessage]:
    # Imported here: certificates are parsed only where somebody brings a file of their own.
    from azpg_backend.trust import ca_file

    cloud = next((cloud.name for cloud in map(hosts.cloud_of, names) if cloud), None)
    place = f"DATABASES[{alias!r}]['OPTIONS']['sslrootcert']"
    return [
        message(_CA_IDS[problem.code], f"{place}: {problem.message}", problem.hint)
        for problem in ca_file.read(path).problems(cloud)
    ]


def message(identifier: str, text: str, hint: str | None) -> checks.CheckMessage:
    kind = checks.Error if identifier.startswith("azpg.E") else checks.Warning
    return kind(text, hint=hint, id=identifier)
