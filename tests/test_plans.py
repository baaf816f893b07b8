"""A plan is decided once, and again as soon as anything has changed that it depends on."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azpg_backend import plans, policy
from tests.conftest import HOST

BASE = {"NAME": "app", "USER": "me", "HOST": HOST, "PORT": "", "PASSWORD": "x", "OPTIONS": {}, "CONN_MAX_AGE": 0}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    plans.forget()
    yield
    plans.forget()


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    decide = policy.decide

    def counted(alias: str, *args: Any, **kwargs: Any) -> policy.Plan:
        made.append(alias)
        return decide(alias, *args, **kwargs)

    monkeypatch.setattr(policy, "decide", counted)
    return made


def test_one_decision_serves_every_connection(decisions: list[str]) -> None:
    settings = copy.deepcopy(BASE)
    first = plans.plan_of("default", settings)
    assert all(plans.plan_of("default", settings) is first for _ in range(100))
    # As another thread's wrapper, whose settings are equal but not the same.
    assert plans.plan_of("default", copy.deepcopy(BASE)) is first
    assert decisions == ["default"]
    plans.plan_of("other", settings)
    assert decisions == ["default", "other"]


CHANGES: dict[str, Callable[[dict[str, Any], pytest.MonkeyPatch], object]] = {
    "another database, as the test runner does": lambda settings, _: settings.update(NAME="test_app"),
    "another host": lambda settings, _: settings.update(HOST="10.0.0.4"),
    "a new option": lambda settings, _: settings["OPTIONS"].update(sslmode="verify-ca"),
    "an option of ours, deep inside": lambda settings, _: settings["OPTIONS"]["azpg"].update(connect_retry_seconds=9),
    "an item of a list": lambda settings, _: settings["OPTIONS"]["azpg"]["credential_kwargs"]["l"].append(1),
    "an address in the environment": lambda _, patch: patch.setenv("PGHOSTADDR", "10.0.0.4"),
    "a maximum in the environment": lambda _, patch: patch.setenv("PGSSLMAXPROTOCOLVERSION", "TLSv1.1"),
    "a service in the environment": lambda _, patch: patch.setenv("PGSERVICE", "other"),
    "a port in the environment": lambda _, patch: patch.setenv("PGPORT", "6432"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = copy.deepcopy(BASE)
    settings["OPTIONS"] = {"azpg": {"auth": "entra", "credential_kwargs": {"l": []}}}
    before = plans.plan_of("default", settings)
    CHANGES[change](settings, monkeypatch)
    after = plans.plan_of("default", settings)
    assert after is not before
    assert after == policy.decide("default", settings, environ=os.environ)


def test_the_environment_is_seen_when_it_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plans.plan_of("default", BASE)
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.4")
    assert plans.plan_of("default", BASE).endpoints[0].hostaddr == "10.0.0.4"
    monkeypatch.delenv("PGHOSTADDR")
    assert plans.plan_of("default", BASE) == first


def test_a_service_s_file_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    settings = {**BASE, "HOST": "", "OPTIONS": {"service": "mine"}}
    for name in ("one", "two"):
        file.write_text(f"[mine]\nhost={name}.postgres.database.azure.com\n")
        (endpoint,) = plans.plan_of("default", settings).endpoints
        assert endpoint.host == f"{name}.postgres.database.azure.com"


def test_a_credential_is_not_copied() -> None:
    class Credential:
        def get_token(self, *scopes: str) -> None:
            raise AssertionError

        def __deepcopy__(self, memo: object) -> Credential:
            raise AssertionError

    credential = Credential()
    settings = {**BASE, "PASSWORD": "", "OPTIONS": {"azpg": {"auth": "entra", "credential": credential}}}
    plan = plans.plan_of("default", settings)
    assert plan.options.credential is credential
    assert plans.plan_of("default", settings) is plan


def test_nothing_secret_is_shown() -> None:
    plans.plan_of("default", {**BASE, "PASSWORD": "s3ntinel"})
    assert "s3ntinel" not in repr(plans._kept)


VALUES = {
    "NAME": st.sampled_from(["app", "test_app"]),
    "HOST": st.sampled_from([HOST, "localhost", "10.0.0.4", ""]),
    "PORT": st.sampled_from(["", "6432", 5433]),
    "OPTIONS": st.sampled_from(
        [{}, {"sslmode": "verify-ca"}, {"sslnegotiation": "postgres"}, {"azpg": {"plaintext_on_loopback": True}}]
    ),
}
VARIABLES = ["PGHOSTADDR", "PGPORT", "PGSSLMAXPROTOCOLVERSION", "PGSSLNEGOTIATION", "PGSERVICE", "PGUSER"]
step = st.one_of(
    st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.tuples(st.just(key), VALUES[key])),
    st.tuples(st.sampled_from(VARIABLES), st.sampled_from([None, "127.0.0.1", "5433", "TLSv1.2"])),
)


@given(st.lists(step, max_size=8))
def test_a_kept_plan_is_what_would_be_decided_now(steps: list[tuple[str, Any]]) -> None:
    plans.forget()
    settings = copy.deepcopy(BASE)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in steps:
            if key in VALUES:
                settings[key] = value
            elif value is None:
                patch.delenv(key, raising=False)
            else:
                patch.setenv(key, value)
            assert plans.plan_of("default", settings) == policy.decide("default", settings, environ=os.environ)
