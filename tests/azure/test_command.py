"""azpg_check --azure as a command: the ninth step in every format, what else it needs, what it leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from azpg_backend.errors.codes import STEPS
from tests.support import arm as standin
from tests.support.arm import Arm, refusal
from tests.support.settings import SettingsFor

Databases = Callable[..., None]


def azpg_check(*arguments: str) -> tuple[int, str]:
    output = StringIO()
    try:
        call_command("azpg_check", "--offline", "--timeout", "20", *arguments, stdout=output)
    except SystemExit as end:
        return int(end.code or 0), output.getvalue()
    return 0, output.getvalue()


@pytest.fixture(autouse=True)
def stopped(arm: Arm, network: Any, databases: Databases, at_port: SettingsFor) -> None:
    arm.set(state=standin.member("ServerState", "STOPPED"))
    databases(default=at_port(5432))


def test_text_says_what_mends_it() -> None:
    status, text = azpg_check("--azure")
    assert status == 1
    lines = " ".join(text.split())
    assert "azure FAIL" in lines or "azure fail" in lines.lower()
    assert "azure.stopped" in lines
    assert "az postgres flexible-server start" in lines


def test_json_has_nine_steps() -> None:
    _, text = azpg_check("--azure", "--format", "json")
    (database,) = json.loads(text)["databases"]
    assert [each["step"] for each in database["steps"]] == [*STEPS, "azure"]
    step = database["steps"][-1]
    assert (step["code"], step["detail"]["state"]) == ("azure.stopped", "Stopped")
    assert step["docs"] == "docs/codes.md#azurestopped" or step["docs"].endswith("#azurestopped")


def test_without_the_flag_there_are_eight(arm: Arm) -> None:
    _, text = azpg_check("--format", "json")
    assert [each["step"] for each in json.loads(text)["databases"][0]["steps"]] == list(STEPS)
    assert arm.requests == []


def test_azure_alone_can_count() -> None:
    status, text = azpg_check("--azure", "--only", "azure", "--format", "json")
    steps = {each["step"]: each["status"] for each in json.loads(text)["databases"][0]["steps"]}
    assert (status, steps["azure"], steps["tcp"]) == (1, "fail", "skip")


def test_azure_can_be_ignored(arm: Arm) -> None:
    arm.instead = lambda path: refusal(403, "AuthorizationFailed", "no")
    _, text = azpg_check("--azure", "--ignore", "azure.forbidden", "--format", "json")
    assert json.loads(text)["databases"][0]["steps"][-1]["status"] == "skip"


def test_only_azure_needs_the_flag() -> None:
    with pytest.raises(CommandError, match="--only azure needs --azure") as caught:
        azpg_check("--only", "azure.stopped")
    assert caught.value.returncode == 2


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    azpg_check("--azure")
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == []
