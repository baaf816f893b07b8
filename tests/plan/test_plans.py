"""A wrapper's plan follows its settings and the environment: what changes between two connects is seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import ConnectionHandler

from azpg_backend.plan.decision import Plan
from tests.support.settings import HOST

BASE = {
    "ENGINE": "azpg_backend",
    "NAME": "app",
    "USER": "app",
    "PASSWORD": "",
    "HOST": HOST,
    "OPTIONS": {},
}


def plan_of(settings: dict[str, Any]) -> Plan:
    return ConnectionHandler({"default": settings})["default"].plan()


CHANGES: dict[str, Callable[[dict[str, Any], pytest.MonkeyPatch], object]] = {
    "another database, as the test runner does": lambda settings, _: settings.update(NAME="test_app"),
    "another host": lambda settings, _: settings.update(HOST="10.0.0.4"),
    "a new option": lambda settings, _: settings["OPTIONS"].update(sslmode="verify-ca"),
    "an option of ours, deep inside": lambda settings, _: settings["OPTIONS"]["azpg"].update(connect_retry_seconds=9),
    "an address in the environment": lambda _, patch: patch.setenv("PGHOSTADDR", "10.0.0.4"),
    "a maximum in the environment": lambda _, patch: patch.setenv("PGSSLMAXPROTOCOLVERSION", "TLSv1.1"),
    "a service in the environment": lambda _, patch: patch.setenv("PGSERVICE", "other"),
    "a port in the environment": lambda _, patch: patch.setenv("PGPORT", "6432"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = copy.deepcopy(BASE)
    settings["OPTIONS"] = {"azpg": {"auth": "entra", "credential_kwargs": {}}}
    before = plan_of(settings)
    CHANGES[change](settings, monkeypatch)
    assert plan_of(settings) != before


def test_the_environment_is_seen_when_it_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan_of(BASE)
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.4")
    assert plan_of(BASE).endpoints[0].hostaddr == "10.0.0.4"
    monkeypatch.delenv("PGHOSTADDR")
    assert plan_of(BASE) == first


def test_a_service_s_file_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    settings = {**BASE, "HOST": "", "OPTIONS": {"service": "mine"}}
    for name in ("one", "two"):
        file.write_text(f"[mine]\nhost={name}.postgres.database.azure.com\n")
        (endpoint,) = plan_of(settings).endpoints
        assert endpoint.host == f"{name}.postgres.database.azure.com"


def test_a_credential_is_not_copied() -> None:
    class Credential:
        def get_token(self, *scopes: str) -> None:
            raise AssertionError

        def __deepcopy__(self, memo: object) -> Credential:
            raise AssertionError

    credential = Credential()
    settings = {**BASE, "PASSWORD": "", "OPTIONS": {"azpg": {"auth": "entra", "credential": credential}}}
    plan = plan_of(settings)
    assert plan.options.credential is credential
