"""Every builder of a problem: it is complete, and says where."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from azpg_backend.errors import settings
from azpg_backend.errors.codes import CHECKS
from azpg_backend.errors.problem import Place, Problem, Severity

BUILDERS = {
    name: function
    for name, function in inspect.getmembers(settings, inspect.isfunction)
    if function.__module__ == settings.__name__ and "__" not in name and not name.startswith("_")
}
IDS = {
    "connections_under_asgi": "azpg.W019",
    "doubtful_password": "azpg.W016",
    "entra_needs_verify_full": "azpg.E007",
    "entra_with_password": "azpg.E006",
    "foreign_key": "azpg.W022",
    "health_checks": "azpg.W006",
    "invalid": "azpg.E002",
    "local_host": "azpg.W002",
    "misplaced_key": "azpg.W023",
    "missing_element": "azpg.E003",
    "missing_host": "azpg.E003",
    "missing_name": "azpg.E009",
    "no_azure_identity": "azpg.E008",
    "no_channel_binding": "azpg.W013",
    "no_user": "azpg.W017",
    "not_azure_host": "azpg.W002",
    "not_loopback": "azpg.E004",
    "prepared_statements": "azpg.W014",
    "raised_sslmode": "azpg.W015",
    "relative_path": "azpg.W018",
    "server_side_cursors": "azpg.W004",
    "session_role": "azpg.W012",
    "short_host": "azpg.W002",
    "startup_parameter": "azpg.W005",
    "system_roots": "azpg.W007",
    "text_as_flag": "azpg.W024",
    "unchecked_pool": "azpg.W020",
    "unproven_cloud": "azpg.W021",
    "user_at_server": "azpg.W003",
    "verify_ca": "azpg.W001",
    "weak_tls": "azpg.E001",
}
WHERE = Place("replica", "HOST")


def build(function: Callable[..., Problem]) -> tuple[Problem, dict[str, Any]]:
    """Call a builder with a different value for each argument, and return those too."""
    values: dict[str, Any] = {"port": 6432, "suffixes": [".one.example", ".two.example"]}
    given = {name: values.get(name, f"<{name}>") for name in inspect.signature(function).parameters}
    given["where"] = WHERE
    return function(**given), given


def test_every_builder_is_here() -> None:
    assert set(BUILDERS) == set(IDS)


@pytest.mark.parametrize("name", IDS)
def test_a_builder_s_problem_is_complete(name: str) -> None:
    problem, given = build(BUILDERS[name])
    check = CHECKS[IDS[name]]
    # Whoever connects needs a host and a name; the check of an image without them only warns.
    severity = Severity.ERROR if name.startswith("missing_") else check.severity
    assert (problem.id, problem.code, problem.severity) == (IDS[name], check.code, severity)
    assert problem.where == WHERE
    assert str(WHERE) in problem.message
    assert problem.message.endswith(".")
    assert problem.hint
    text = f"{problem.message} {problem.hint}"
    for value in given.values():
        assert all(str(each) in text for each in (value if isinstance(value, list) else [value]))


def test_the_user_without_its_server() -> None:
    assert "'ann@more'" in settings.user_at_server(WHERE, "ann@more@server").hint
