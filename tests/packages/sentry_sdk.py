"""The spans of queries in a transaction, and a refused login, without its password."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sentry_sdk
from django.db import OperationalError, connections
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.transport import Transport

from tests.support.packages import project

SENT: list[dict[str, Any]] = []


class Kept(Transport):
    def capture_envelope(self, envelope: Envelope) -> None:
        SENT.extend(item.payload.json for item in envelope.items if item.payload.json)


sentry_sdk.init(
    dsn="https://key@example.org/1",
    transport=Kept,
    traces_sample_rate=1.0,
    integrations=[DjangoIntegration()],
    include_local_variables=True,
)
# Not as a word of its own, as the lines of the source are sent too.
SECRET = "-".join(("wrong", "s3cret"))
WRONG = project.database(PASSWORD=SECRET)
project.configure(databases={"default": project.database(), "wrong": WRONG})


def test_spans() -> None:
    with sentry_sdk.start_transaction(name="work"):
        assert project.encrypted()
    sentry_sdk.flush()
    (transaction,) = [each for each in SENT if each.get("type") == "transaction"]
    operations = [each["op"] for each in transaction["spans"]]
    assert operations[0] == "db" and len(operations) >= 2


@pytest.mark.recipe
def test_no_password_is_sent() -> None:
    with pytest.raises(OperationalError) as raised:
        connections["wrong"].ensure_connection()
    sentry_sdk.capture_exception(raised.value)
    sentry_sdk.flush()
    assert "password authentication failed" in json.dumps(SENT)
    assert SECRET not in json.dumps(SENT)
