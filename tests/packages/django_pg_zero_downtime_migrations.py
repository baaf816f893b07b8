"""Adding and removing a column and an index, by the recipe's engine."""

from __future__ import annotations

from django.db import connection, models

from tests.support.packages import project

NAME = project.engine_module("An engine that is hard-wired to Django's", "mysite_engine")
project.configure("django.contrib.contenttypes", databases={"default": project.database(ENGINE=NAME)})


def test_columns_and_an_index() -> None:
    class Thing(models.Model):
        name = models.CharField(max_length=9)

        class Meta:
            app_label = "contenttypes"

    added = models.IntegerField(null=True)
    added.set_attributes_from_name("added")
    with connection.schema_editor(atomic=False) as editor:
        editor.create_model(Thing)
        editor.add_field(Thing, added)
        editor.add_index(Thing, models.Index(fields=["name"], name="thing_name"))
        editor.remove_field(Thing, added)
    with connection.cursor() as cursor:
        columns = [each.name for each in connection.introspection.get_table_description(cursor, Thing._meta.db_table)]
        assert columns == ["id", "name"]
        assert "thing_name" in connection.introspection.get_constraints(cursor, Thing._meta.db_table)
    assert type(editor).__module__.startswith("django_zero_downtime_migrations")
