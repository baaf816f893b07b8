"""Forks inside a schema; what it imports beside the engine."""

from __future__ import annotations

import os
from pathlib import Path

from django.db import connection

from tests.support.children import forked
from tests.support.packages import project

APPS = ["django.contrib.contenttypes"]
project.configure(
    "django_pgschemas",
    *APPS,
    databases={"default": project.database(ENGINE="django_pgschemas.postgresql")},
    TENANTS={
        "public": {"APPS": APPS},
        "blog": {"APPS": APPS, "URLCONF": "blog", "DOMAINS": ["blog.localhost"]},
        "default": {
            "TENANT_MODEL": "contenttypes.ContentType",
            "DOMAIN_MODEL": "contenttypes.ContentType",
            "APPS": [],
            "URLCONF": "tenants",
        },
    },
    DATABASE_ROUTERS=["django_pgschemas.routers.TenantAppsRouter"],
    PGSCHEMAS_ORIGINAL_BACKEND=project.engine(),
    PGSCHEMAS_LIMIT_SET_CALLS=True,
)


def test_a_child_is_in_its_parent_s_schema(tmp_path: Path) -> None:
    from django_pgschemas.schema import Schema, activate

    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA blog")
    activate(Schema.create("blog"))
    assert project.asked("SELECT current_schema()") == "blog"
    child = forked(lambda: (tmp_path / "schema").write_text(project.asked("SELECT current_schema()")))
    os.waitpid(child, 0)
    assert (tmp_path / "schema").read_text() == "blog"
    assert project.asked("SELECT current_schema()") == "blog"


def test_its_introspection_and_schema_editor() -> None:
    from django_pgschemas.schema import activate_public

    connection.close()
    activate_public()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.thing (id int)")
        assert "thing" in connection.introspection.table_names(cursor)
    with connection.schema_editor() as editor:
        editor.execute("DROP TABLE public.thing")
