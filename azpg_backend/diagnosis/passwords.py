"""What a password looks like that was never meant to be one: a reference that nobody resolved, quotes, a newline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_REFERENCES = {
    r"@Microsoft\.KeyVault\(": "an App Service reference to Key Vault that was not resolved: look at its status in the "
    "Azure portal under Environment variables; the app's identity needs the role Key Vault Secrets User",
    r"\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*": "the name of a variable that nothing replaced",
    r"%\w+%": "the name of a variable that nothing replaced",
    r"\{\{.*\}\}|<[^<>]+>": "a placeholder of a template",
    r"b(['\"]).*\1": "the text of a Python bytes object: decode it first",
}


def shape(settings_dict: Mapping[str, Any]) -> str:
    """Return a hint on the form of PASSWORD, never its value; "" if it may well be a password."""
    password = settings_dict.get("PASSWORD")
    if not isinstance(password, str) or not password:
        return ""
    looks = _looks(password)
    return f"PASSWORD {looks}." if looks else ""


def _looks(password: str) -> str:
    if password.endswith(("\n", "\r")):
        return "ends in a line break, as from a mounted file or 'echo': read it with .strip() or write it without one"
    if password != password.strip():
        return "begins or ends with a blank: remove it"
    if len(password) > 1 and password[0] == password[-1] and password[0] in "'\"`":
        return "stands in quotes, which are sent as part of it: remove them (docker --env-file keeps quotes)"
    for pattern, meaning in _REFERENCES.items():
        if re.fullmatch(pattern if pattern[-1] != "(" else f"{pattern}.*", password, re.DOTALL):
            return f"is {meaning}"
    return ""
