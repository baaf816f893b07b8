"""A kept plan is what would be decided now, and holds no secret."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azpg_backend.connect import kept
from azpg_backend.plan import decision
from azpg_backend.plan.decision import Plan
from azpg_backend.process import memory

HOST = "mydemoserver.postgres.database.azure.com"
BASE = {"NAME": "app", "USER": "me", "PASSWORD": "s3ntinel-9f2c", "HOST": HOST, "PORT": "", "OPTIONS": {}}


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each decision that is made."""
    made: list[str] = []

    def noting(alias: str, settings: Any) -> Plan:
        made.append(alias)
        return decision.decide(alias, settings)

    monkeypatch.setattr(kept, "decide", noting)
    return made


def test_one_decision_serves_every_connect(decided: list[str]) -> None:
    first = kept.plan_of("default", copy.deepcopy(BASE))
    assert all(kept.plan_of("default", copy.deepcopy(BASE)) is first for _ in range(10))
    assert decided == ["default"]
    kept.plan_of("other", BASE)
    assert decided == ["default", "other"]


def test_what_can_not_be_hashed_is_decided_each_time(decided: list[str]) -> None:
    class Odd(str):
        pass

    for _ in range(2):
        kept.plan_of("default", {**BASE, "USER": Odd("me")})
    assert len(decided) == 2


def test_a_mistake_is_looked_at_again(decided: list[str]) -> None:
    for _ in range(2):
        assert kept.plan_of("default", {**BASE, "HOST": "https://x"}).errors
    assert len(decided) == 2


def test_true_is_not_one(decided: list[str]) -> None:
    for value in (1, True, 1.0):
        kept.plan_of("default", {**BASE, "DISABLE_SERVER_SIDE_CURSORS": value})
    assert len(decided) == 3


def test_nothing_secret_is_kept() -> None:
    kept.plan_of("default", BASE)
    assert "s3ntinel" not in repr(vars(kept._plans))


def test_many_aliases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_MOST", 5)
    for number in range(12):
        kept.plan_of(f"alias{number}", BASE)
    assert len(kept._plans.get()) <= 5


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "NAME": st.sampled_from(["app", "test_app"]),
    "HOST": st.sampled_from([HOST, "localhost", "10.0.0.4", ""]),
    "PORT": st.sampled_from(["", "6432", 5433]),
    "CONN_MAX_AGE": st.sampled_from([0, 600, None]),
    "PASSWORD": st.sampled_from(["x", "x\n", 12]),
    "OPTIONS": st.sampled_from(
        [
            {},
            {"sslmode": "verify-ca"},
            {"sslnegotiation": "postgres"},
            {"azpg": {"plaintext_on_loopback": True}},
            {"azpg": {"auth": "entra", "credential": object}},
            {"azpg": {"auth": "entra", "credential": repr}},
        ]
    ),
}
VARIABLES = ["PGHOSTADDR", "PGPORT", "PGSSLMAXPROTOCOLVERSION", "PGSSLNEGOTIATION", "PGSERVICE", "PGUSER", "PGOPTIONS"]
STEP = st.one_of(
    st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.tuples(st.just(key), VALUES[key])),
    st.tuples(st.sampled_from(VARIABLES), st.sampled_from([None, "127.0.0.1", "5433", "TLSv1.2"])),
)


@given(st.lists(STEP, max_size=8))
def test_a_kept_plan_is_what_would_be_decided_now(steps: list[tuple[str, Any]]) -> None:
    memory.forget()
    settings = copy.deepcopy(BASE)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in steps:
            if key in VALUES:
                settings[key] = value
            elif value is None:
                patch.delenv(key, raising=False)
            else:
                patch.setenv(key, value)
            assert kept.plan_of("default", settings) == decision.decide("default", settings, environ=os.environ)
