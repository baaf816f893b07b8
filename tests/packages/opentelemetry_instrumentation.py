"""The spans of queries and errors, of Django and of the driver; no password in them."""

from __future__ import annotations

import pytest
from django.db import DatabaseError
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.packages import project

if is_psycopg3:
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor as Instrumentor
else:
    from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor as Instrumentor

SPANS = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(SPANS))
Instrumentor().instrument(tracer_provider=PROVIDER, skip_dep_check=True)
project.configure()


def test_spans() -> None:
    assert project.asked("SELECT 7") == 7
    with pytest.raises(DatabaseError):
        project.asked("SELECT nothing_such")
    spans = [each for each in SPANS.get_finished_spans() if each.attributes and "db.statement" in each.attributes]
    assert [each.attributes["db.statement"] for each in spans[-2:]] == ["SELECT 7", "SELECT nothing_such"]
    assert [each.status.is_ok for each in spans[-2:]] == [True, False]
    assert all("suite0password" not in each.to_json() for each in SPANS.get_finished_spans())
    assert project.encrypted()
