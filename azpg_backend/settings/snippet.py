"""The snippet: an entry of DATABASES as text for settings.py, in which no value stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azpg_backend.settings.entry import Login, Wishes
from azpg_backend.settings.sources import Variable


def of(entry: Mapping[str, Any], found: Login, wishes: Wishes) -> str:
    """Return the text for an entry.

    entry: with a Variable for each value.
    found: where the values come from; those of one string can only be looked up together.
    """
    if found.is_elsewhere:
        said = {"engine": wishes.engine, "auth": wishes.auth, "plaintext_hosts": list(wishes.plaintext_hosts)}
        given = "".join(f", {key}={value!r}" for key, value in said.items() if value).replace("'", '"')
        call = f'from_environment("{found.source.name}"{given})'
        return f'from azpg_backend.settings import from_environment\n\nDATABASES = {{"default": {call}}}\n'
    return f'import os\n\nDATABASES = {{\n    "default": {_written(entry, 1)},\n}}\n'


def _written(value: Any, depth: int) -> str:
    if isinstance(value, Mapping):
        indent = "    " * depth
        lines = "".join(f'{indent}    "{key}": {_written(each, depth + 1)},\n' for key, each in value.items())
        return f"{{\n{lines}{indent}}}"
    if isinstance(value, Variable):
        return value.expression
    return f'"{value}"' if isinstance(value, str) else repr(value)
