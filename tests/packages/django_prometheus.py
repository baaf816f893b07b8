"""Counters of queries, of executemany, of errors and of connections, by the recipe's engine."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection

from tests.support.packages import project

NAME = project.engine_module("django-prometheus", "mysite_engine")
project.configure("django_prometheus", databases={"default": project.database(ENGINE=NAME)})


def counted(metric: str) -> float:
    from prometheus_client import REGISTRY

    return sum(
        each.value
        for family in REGISTRY.collect()
        for each in family.samples
        if each.name == metric and each.labels.get("alias") == "default"
    )


def test_counters() -> None:
    names = ("django_db_execute_total", "django_db_execute_many_total", "django_db_errors_total")
    project.asked("SELECT 1")
    before = [counted(name) for name in names]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE t (n int)")
        cursor.executemany("INSERT INTO t VALUES (%s)", [(1,), (2,)])
        with pytest.raises(DatabaseError):
            cursor.execute("SELECT nothing_such")
    # The rows of executemany() count as executed too.
    assert [counted(name) - then for name, then in zip(names, before, strict=True)] == [4, 2, 1]
    assert counted("django_db_new_connections_total") == 1
    assert project.encrypted()
