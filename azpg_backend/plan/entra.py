"""The rules for a Microsoft Entra login: only TLS to the right server protects a token, which is sent readable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azpg_backend.errors import settings as find
from azpg_backend.errors.problem import Place, Problem
from azpg_backend.plan import texts
from azpg_backend.plan.options import Options
from azpg_backend.plan.sources import Setting

# What the environment asks of passwords must not stop a token.
INSTEAD_OF_INHERITED = {"channel_binding": "prefer", "require_auth": "password,scram-sha-256,md5"}


def judged(
    alias: str, given: Mapping[str, Any], own: Mapping[str, Setting], options: Options
) -> tuple[dict[str, Setting], list[Problem]]:
    """Return what is left of the settings for a token login, and what does not go with one.

    given: DATABASES[alias], where a password would stand.
    """
    kept = dict(own)
    problems = []
    passwords = (("PASSWORD", given.get("PASSWORD")), ("password", _option(given, "password")))
    for key, password in passwords:
        if texts.is_given(password):
            problems.append(find.entra_with_password(Place(alias, key)))
    if options.plaintext_on_loopback:
        problems.append(find.entra_needs_verify_full(Place(alias, "azpg.plaintext_on_loopback"), True))
    for keyword, problem in (("channel_binding", _channel_binding(kept)), ("require_auth", _require_auth(kept))):
        if problem is not None:
            problems.append(problem)
            del kept[keyword]
    return kept, problems


def _option(given: Mapping[str, Any], key: str) -> Any:
    options = given.get("OPTIONS")
    return options.get(key) if isinstance(options, Mapping) else None


def _channel_binding(own: Mapping[str, Setting]) -> Problem | None:
    setting = own.get("channel_binding")
    if setting is None or setting.value != "require":
        return None
    what = "is 'require', which a login with a Microsoft Entra token can't do"
    return find.invalid(setting.where, what, "Remove channel_binding from this alias.")


def _require_auth(own: Mapping[str, Setting]) -> Problem | None:
    setting = own.get("require_auth")
    methods = str(setting.value or "") if setting else ""
    named = methods.replace(" ", "").split(",")
    excluded = "!password" in named if named[0].startswith("!") else "password" not in named
    if setting is None or not methods or not excluded:
        return None
    what = f"is {methods!r}, which excludes 'password', the way a Microsoft Entra token is sent"
    return find.invalid(setting.where, what, "Remove require_auth from this alias.")
