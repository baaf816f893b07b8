"""docs/observability.md: its tables are the package's own, and its examples run."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncRequestFactory
from health_check.views import HealthCheckView

from azpg_backend.telemetry import names
from demo_project.localpg import LocalPostgres
from tests.support.examples import run_by
from tests.support.settings import SettingsFor
from tests.support.telemetry import PAGE, tables

HERE = "tests/telemetry/test_document.py::"


@pytest.mark.parametrize("name", tables())
def test_a_table_is_what_the_package_declares(name: str, request: pytest.FixtureRequest) -> None:
    """If this is red: python -m pytest tests/telemetry -n 0 --write-scenarios."""
    text, mark = PAGE.read_text("utf-8"), f"<!-- {name} -->\n"
    written = re.sub(rf"{mark}(\|.*\n)*", lambda _: f"{mark}{tables()[name]}\n", text)
    if request.config.getoption("--write-scenarios"):
        PAGE.write_text(written, "utf-8")
    else:
        assert written == text


def test_every_key_and_attribute_is_explained_and_used() -> None:
    assert {key for event in names.EVENTS for key in event.keys} | {"event"} == set(names.KEYS)
    assert {each for metric in names.METRICS for each in metric.attributes} == set(names.ATTRIBUTES)


def test_the_logging_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = run_by(HERE + "test_the_logging_configuration")
    module: dict[str, object] = {}
    exec(compile(example.text, example.name, "exec"), module)
    logger = logging.getLogger(names.LOGGER)
    try:
        logging.config.dictConfig(module["LOGGING"])  # type: ignore[arg-type]
        logger.info("default: connected", extra={"azpg_event": "connection.opened"})
        assert '"azpg_event": "connection.opened"' in capsys.readouterr().err
    finally:
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)


def test_metrics_need_nothing_but_a_provider() -> None:
    (example,) = run_by(HERE + "test_metrics_need_nothing_but_a_provider")
    asked = "from azpg_backend.telemetry import metrics as ours, names\nours.count(names.OUTAGES, {})\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", example.text + asked], env=environment, capture_output=True, text=True, check=True
    )
    assert f'"name": "{names.OUTAGES.name}"' in done.stdout


def answer(view: Any) -> tuple[int, list[str]]:
    """Return the status, and what the checks say that found something."""
    response = asyncio.run(view(AsyncRequestFactory().get("/health/", {"format": "json"})))
    response.render() if hasattr(response, "render") else None
    said = json.loads(response.content).values()
    return response.status_code, [each for each in said if each != "OK"]


def test_the_health_check_is_served(
    server: LocalPostgres,
    settings_for: SettingsFor,
    databases: Callable[..., None],
) -> None:
    good = settings_for(server)
    example, several = run_by(HERE + "test_the_health_check_is_served")
    module: dict[str, Any] = {}
    exec(compile(example.text, example.name, "exec"), module)
    exec(compile(several.text, several.name, "exec"), module)
    (route,) = module["urlpatterns"]
    for view in (route.callback, HealthCheckView.as_view(checks=module["checks"])):
        databases(default=good, reports=good)
        assert answer(view) == (200, [])
        databases(default={**good, "NAME": "nothing"}, reports=good)
        status, (said,) = answer(view)
        assert status == 500
        assert said.endswith("NAME does not exist (login.unknown_database)")
