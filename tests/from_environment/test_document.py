"""docs/settings.md: each environment gives the settings that stand below it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dj_database_url
import pytest

from azpg_backend.plan.decision import decide
from azpg_backend.settings import from_environment

DOCUMENT = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
PAIRS = re.findall(r"```ini\n(.*?)```\n\n```python\n(.*?)```", DOCUMENT, re.DOTALL)
SERVER = "mydemoserver.postgres.database.azure.com"


def environment(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs}


def test_every_environment_has_its_settings() -> None:
    assert len(PAIRS) == DOCUMENT.count("```ini") == 7


@pytest.mark.parametrize(("environ", "text"), PAIRS)
def test_an_example(environ: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(environ).items():
        monkeypatch.setenv(name, value)
    if text.startswith('"'):
        assert from_environment() == eval("{" + text + "}")  # noqa: S307
        return
    module: dict[str, Any] = {}
    exec(compile(text, "settings.py", "exec"), module)  # noqa: S102
    for alias, entry in module["DATABASES"].items():
        assert entry["HOST"].endswith(".postgres.database.azure.com")
        assert decide(alias, entry, environ={}).errors == []


def test_the_first_snippet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"azpg://me:x@{SERVER}/app")
    module: dict[str, Any] = {}
    exec(compile(re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[0], "settings.py", "exec"), module)  # noqa: S102
    assert module["DATABASES"]["default"]["HOST"] == SERVER


def test_the_snippet_for_dj_database_url() -> None:
    module: dict[str, Any] = {}
    before = dict(dj_database_url.ENGINE_SCHEMES)
    try:
        exec(compile(re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[-1], "settings.py", "exec"), module)  # noqa: S102
    finally:
        dj_database_url.ENGINE_SCHEMES.clear()
        dj_database_url.ENGINE_SCHEMES.update(before)
    assert module["DATABASES"]["default"]["ENGINE"] == "azpg_backend"
