"""What fetching tokens tells the log and OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.utils import OperationalError

from azpg_backend.telemetry import names
from tests.support.gateway import Gateway
from tests.support.standins import Issuer
from tests.support.telemetry import metered, recorded

Connect = Callable[..., Any]
Settings = Callable[..., dict[str, Any]]


def query(wrapper: Any) -> None:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_tokens_are_told(
    issuer: Issuer,
    azure: Gateway,
    entra_settings: Callable[..., Any],
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with recorded() as records, metered(monkeypatch) as meters:
        query(connect(entra_settings(azure.port)))
        assert {"token.fetched", "connection.opened"} == set(records.events())
        fetched = records.found[records.events().index("token.fetched")]
        assert fetched["azpg_seconds"] > 0
        ((attributes, count),) = meters.points()[names.TOKEN_FETCH_DURATION.name]
        assert (attributes, count) == ({"azpg.credential": fetched["azpg_credential"]}, 1)
        (token,) = issuer.issued
        assert token not in str(records.found) + str(meters.points())


def test_a_token_that_can_not_be_had_is_told(
    issuer: Issuer,
    azure: Gateway,
    entra_settings: Callable[..., Any],
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer.before = lambda number: (400, '{"statusCode": 400, "message": "No User Assigned identity"}', {})
    with recorded() as records, metered(monkeypatch) as meters:
        with pytest.raises(OperationalError):
            query(connect(entra_settings(azure.port)))
        assert records.events() == ["token.failed", "connection.failed"]
        ((attributes, _),) = meters.points()[names.TOKEN_FETCH_DURATION.name]
        assert attributes["error.type"] == "login.token_failed"
