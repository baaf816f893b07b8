"""Rows that a policy keeps from other tenants, and no context left after it, by the recipe's engine."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import ProgrammingError, connection, models

from tests.support.packages import project

NAME = project.engine_module("django-rls", "mysite_engine")
project.configure("django.contrib.contenttypes", "django_rls", databases={"default": project.database(ENGINE=NAME)})


@pytest.fixture(scope="module")
def note() -> Any:
    from django.contrib.contenttypes.models import ContentType
    from django_rls.models import RLSModel
    from django_rls.policies import TenantPolicy

    project.migrate()

    class Note(RLSModel):
        # Any table that has rows already serves as one of tenants.
        tenant = models.ForeignKey(ContentType, models.CASCADE)

        class Meta:
            app_label = "contenttypes"
            rls_policies = [TenantPolicy("tenants", tenant_field="tenant")]

    with connection.schema_editor() as editor:
        editor.create_model(Note)
    Note.enable_rls()
    return Note


def test_a_policy(note: Any) -> None:
    from django_rls.context import system_rls_context

    with system_rls_context(tenant_id=1):
        note.objects.create(tenant_id=1)
        assert note.objects.count() == 1
        with pytest.raises(ProgrammingError):
            note.objects.create(tenant_id=2)
    with system_rls_context(tenant_id=2):
        assert note.objects.count() == 0
    assert note.objects.count() == 0
    assert project.encrypted()
