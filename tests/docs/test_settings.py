"""The Python of the documentation: settings are good, recipes run, and what is wrong is told by its code."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from azpg_backend.plan.decision import decide
from demo_project.localpg import LocalPostgres
from tests.support.examples import Example, run_by
from tests.support.settings import SettingsFor

AZURE = {"ENGINE": "azpg_backend", "NAME": "app", "USER": "me", "HOST": "mydemoserver.postgres.database.azure.com"}
EXAMPLES = run_by("tests/docs/test_settings.py::test_settings")
SETTINGS = [each for each in EXAMPLES if each.is_fragment or re.search(r"^DATABASES =", each.text, re.MULTILINE)]
# What recipes may need that the extra "test" does not bring.
OPTIONAL = ("psycopg", "django_prometheus", "django_rls")


def evaluated(example: Example, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Run an example as settings.py, or put a fragment of settings into good ones."""
    for variable in re.findall(r'environ(?:\.get\(|\[)"(\w+)"', example.text):
        monkeypatch.setenv(variable, "correct-horse-1")
    if example.is_fragment:
        # The settings of this repository's own documentation.
        return {"default": {**AZURE, **eval("{" + example.text + "\n}", {"os": os})}}  # noqa: S307
    module: dict[str, Any] = {}
    exec(compile(example.text, "settings.py", "exec"), module)
    found: dict[str, dict[str, Any]] = module["DATABASES"]
    return found


@pytest.mark.parametrize("example", SETTINGS, ids=lambda each: each.name)
def test_settings(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    for alias, settings in evaluated(example, monkeypatch).items():
        options = dict(settings.get("OPTIONS", {}))
        if not is_psycopg3:
            # These examples say that they need psycopg 3.
            options.pop("pool", None)
        plan = decide(alias, {**settings, "OPTIONS": options}, environ={})
        assert (plan.errors if example.is_fragment else list(plan.problems)) == []


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each not in SETTINGS], ids=lambda each: each.name)
def test_recipes(
    example: Example, server: LocalPostgres, settings_for: SettingsFor, databases: Callable[..., None]
) -> None:
    """They run against a real server, whose alias is "default"."""
    for needed in OPTIONAL:
        if re.search(rf"^(?:from|import) {needed}\b", example.text, re.MULTILINE):
            pytest.importorskip(needed, exc_type=ImportError)
    databases(default=settings_for(server))
    exec(compile(example.text, example.name, "exec"), {"__name__": "recipe"})


@pytest.mark.parametrize(
    "example", run_by("tests/docs/test_settings.py::test_what_is_wrong_gets_its_code"), ids=lambda each: each.heading
)
def test_what_is_wrong_gets_its_code(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    (settings,) = evaluated(example, monkeypatch).values()
    assert [each.id for each in decide("default", settings, environ={}).problems] == [example.heading.strip("`")]
