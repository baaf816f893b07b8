"""System checks: what the settings alone show, in the words of the engine."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.db import connections

from azpg_backend import trust
from azpg_backend.base import DatabaseWrapper
from azpg_backend.errors import settings
from azpg_backend.errors.codes import CHECKS
from azpg_backend.errors.problem import Place, Problem, Severity
from azpg_backend.plan import hosts
from azpg_backend.plan.decision import decide


def own_wrappers() -> Iterator[DatabaseWrapper]:
    """Yield the connections whose ENGINE is this one or is built on it."""
    for alias in connections:
        wrapper = connections[alias]
        if isinstance(wrapper, DatabaseWrapper):
            yield wrapper


def check_settings(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report the plan's problems for every alias of this engine.

    Decided anew: a kept plan knows of no change in Django's settings beside DATABASES.
    """
    return [
        message(problem)
        for wrapper in own_wrappers()
        for problem in decide(wrapper.alias, wrapper.settings_dict).problems
    ]


def check_ca_files(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Look into the files that sslrootcert names. Costs nothing if the packaged roots are used."""
    messages: list[checks.CheckMessage] = []
    for wrapper in own_wrappers():
        plan = wrapper.plan()
        path = plan.params.get("sslrootcert")
        if not plan.plaintext and isinstance(path, str) and path and path not in (trust.BUNDLE, "system"):
            messages += _judged(plan.alias, os.fspath(path), [each.host for each in plan.endpoints])
    return messages


def check_azure_identity(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report an alias that wants a token while azure-identity, which is an extra, is not there to fetch it."""
    messages = []
    for wrapper in own_wrappers():
        plan = wrapper.plan()
        credential = plan.options.credential or ""
        wanted = isinstance(credential, str) and (not credential or credential.startswith("azure.identity."))
        if plan.options.auth == "entra" and wanted and not _is_installed("azure.identity"):
            messages.append(message(settings.no_azure_identity(Place(plan.alias, "azpg.auth"))))
    return messages


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # Its parent isn't there.
        return False


def _judged(alias: str, path: str, names: Sequence[str]) -> list[checks.CheckMessage]:
    # Imported here: certificates are parsed only for those who bring their own file.
    from azpg_backend.trust import ca_file

    cloud = next((cloud.name for cloud in map(hosts.cloud_of, names) if cloud), None)
    place = Place(alias, "sslrootcert")
    return [
        message(dataclasses.replace(problem, message=f"{place}: {problem.message}", where=place))
        for problem in ca_file.read(path).problems(cloud)
        # A relative path has a warning of its own, and azpg_check never writes to one.
        if os.path.isabs(path) or problem.code != "ca.file_missing"
    ]


_KINDS = {Severity.ERROR: checks.Error, Severity.WARNING: checks.Warning, Severity.NOTE: checks.Info}


def message(problem: Problem) -> checks.CheckMessage:
    """Return a problem as Django reports it, as gravely as its system check is declared.

    That can be less than what the problem is for a connection: a CA file that does not exist yet stops libpq, but
    azpg_check is about to write it.
    """
    return _KINDS[CHECKS[problem.id].severity](problem.message, hint=problem.hint or None, id=problem.id)
