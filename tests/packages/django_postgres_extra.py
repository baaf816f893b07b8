"""Upserts, hstore, a partitioned table and a materialized view."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models

from tests.support.packages import project

project.configure(
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "psqlextra",
    databases={"default": project.database(ENGINE="psqlextra.backend")},
    POSTGRES_EXTRA_DB_BACKEND_BASE=project.engine(),
)


@pytest.fixture(scope="module")
def thing() -> Any:
    from django.contrib.postgres.signals import get_hstore_oids
    from psqlextra.fields import HStoreField
    from psqlextra.models import PostgresModel

    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS hstore")
    # A connection learns of the type when it is made, and what it learned is kept.
    get_hstore_oids.cache_clear()
    connection.close()

    class Thing(PostgresModel):
        name = models.CharField(max_length=9, unique=True)
        tags = HStoreField(default=dict)

        class Meta:
            app_label = "contenttypes"

    with connection.schema_editor() as editor:
        editor.create_model(Thing)
    return Thing


def test_upsert(thing: Any) -> None:
    first = thing.objects.upsert(conflict_target=["name"], fields={"name": "a", "tags": {"n": "1"}})
    again = thing.objects.upsert(conflict_target=["name"], fields={"name": "a", "tags": {"n": "2"}})
    assert first == again
    assert thing.objects.get(name="a").tags == {"n": "2"}


def test_on_conflict_nothing(thing: Any) -> None:
    from psqlextra.query import ConflictAction

    rows = [{"name": "b"}, {"name": "b"}]
    thing.objects.on_conflict(["name"], ConflictAction.NOTHING).bulk_insert(rows)
    assert thing.objects.filter(name="b").count() == 1


def test_hstore_keys(thing: Any) -> None:
    thing.objects.create(name="c", tags={"colour": "red"})
    assert thing.objects.filter(tags__colour="red").count() == 1


def test_a_partitioned_table() -> None:
    from psqlextra.models import PostgresPartitionedModel
    from psqlextra.types import PostgresPartitioningMethod

    class Measured(PostgresPartitionedModel):
        at = models.DateField()

        class Meta:
            app_label = "contenttypes"

        class PartitioningMeta:
            method = PostgresPartitioningMethod.RANGE
            key = ["at"]

    with connection.schema_editor() as editor:
        editor.create_partitioned_model(Measured)
        editor.add_range_partition(Measured, "this_year", "2026-01-01", "2027-01-01")
    Measured.objects.create(at="2026-05-01")
    with connection.cursor() as cursor:
        table = connection.introspection.get_partitioned_table(cursor, Measured._meta.db_table)
    assert [each.name for each in table.partitions] == ["this_year"]


def test_a_materialized_view(thing: Any) -> None:
    from psqlextra.models import PostgresMaterializedViewModel

    class Names(PostgresMaterializedViewModel):
        name = models.CharField(max_length=9)

        class Meta:
            app_label = "contenttypes"

        class ViewMeta:
            query = thing.objects.values("id", "name")

    with connection.schema_editor() as editor:
        editor.create_materialized_view_model(Names)
    Names.refresh()
    assert set(Names.objects.values_list("name", flat=True)) == set(thing.objects.values_list("name", flat=True))
    with connection.schema_editor() as editor:
        editor.delete_materialized_view_model(Names)
