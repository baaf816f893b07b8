"""Clearing its tables at once, by an engine with "postgresql" in its name."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.packages import project

project.configure(
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "silk",
    databases={"default": project.database(ENGINE=project.named_engine())},
)


def test_truncate() -> None:
    from silk.models import Request
    from silk.utils.data_deletion import delete_model

    project.migrate()
    Request.objects.bulk_create(Request(path="/", method="GET") for _ in range(500))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        delete_model(Request)
    assert any("TRUNCATE" in each["sql"] for each in queries)
    assert len(queries) < 6
    assert not Request.objects.exists()
