"""Triggers of django-pgtrigger that refuse and that keep a history, its context, and the schema editor."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, models

from tests.support.packages import project

# As in INSTALLED_APPS: django-pgtrigger changes the engine's own schema editor when it is set up.
project.configure("django.contrib.contenttypes", "django.contrib.auth", "pgtrigger", "pghistory")


@pytest.fixture(scope="module")
def order() -> Any:
    import pghistory
    import pgtrigger

    project.migrate()

    class Order(models.Model):
        state = models.CharField(max_length=9)

        class Meta:
            app_label = "pghistory"
            triggers = [pgtrigger.Protect(name="keep", operation=pgtrigger.Delete)]

    tracked = pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent(), app_label="pghistory")(Order)
    with connection.schema_editor() as editor:
        editor.create_model(tracked)
        editor.create_model(tracked.pgh_event_model)
    for trigger in Order._meta.triggers:
        trigger.register(Order)
    pgtrigger.install()
    return Order


def test_a_trigger_refuses(order: Any) -> None:
    made = order.objects.create(state="new")
    with pytest.raises(DatabaseError, match="Cannot delete"):
        made.delete()


def test_history_with_its_context(order: Any) -> None:
    import pghistory

    with pghistory.context(user=7):
        made = order.objects.create(state="new")
        made.state = "paid"
        made.save()
    events = order.pgh_event_model.objects.filter(pgh_obj=made).order_by("pgh_id")
    assert [each.state for each in events] == ["new", "paid"]
    assert {each.pgh_context.metadata["user"] for each in events} == {7}


def test_its_schema_editor_is_the_engine_s() -> None:
    from pgtrigger.migrations import DatabaseSchemaEditorMixin

    with connection.schema_editor() as editor:
        assert isinstance(editor, DatabaseSchemaEditorMixin)
