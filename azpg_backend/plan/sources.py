"""Where a value comes from: the environment, a service file, our defaults or the user's settings."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from azpg_backend.errors.problem import Place
from azpg_backend.plan import libpq, texts


class Setting(NamedTuple):
    """A libpq keyword with a value.

    where: the key, file or variable that it was written in; "" for one of our defaults.
    """

    keyword: str
    value: Any
    where: Place | str = ""


Settings = Mapping[str, Setting]


def merged(*sources: Settings) -> dict[str, Setting]:
    """Return each keyword's setting from the last source that has it."""
    return {keyword: setting for source in sources for keyword, setting in source.items()}


def environment(alias: str, environ: Mapping[str, str], overruled: Container[str] = ()) -> dict[str, Setting]:
    """Return what libpq would read from the environment, but for the keywords that are overruled anyway."""
    return {
        keyword: Setting(keyword, environ[variable], f"DATABASES[{alias!r}]: {variable} in the environment")
        for keyword, variable in _VARIABLES.items()
        if keyword not in overruled and environ.get(variable)
    }


_VARIABLES = {**libpq.ENVIRONMENT, "password": "PGPASSWORD"}


def service(alias: str, name: str, environ: Mapping[str, str]) -> dict[str, Setting]:
    """Return what libpq would read from a service file."""
    values = libpq.service_values(name, environ) if name else {}
    return {
        keyword: Setting(
            keyword, value, f"DATABASES[{alias!r}]: {texts.shown_key(keyword)} in the connection service {name!r}"
        )
        for keyword, value in values.items()
    }


def defaults(values: Mapping[str, Any]) -> dict[str, Setting]:
    return {keyword: Setting(keyword, value) for keyword, value in values.items()}


def value(settings: Settings, keyword: str) -> str:
    """Return a keyword's value as text, or "" if nothing sets it."""
    return str(settings[keyword].value) if keyword in settings else ""
