"""Forks inside a tenant, with and without Python's hooks; a thread outside it."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest
from django.db import connection

from tests.support.children import forked
from tests.support.packages import project

project.configure(
    "django_tenants",
    "django.contrib.contenttypes",
    databases={"default": project.database(ENGINE="django_tenants.postgresql_backend")},
    SHARED_APPS=["django_tenants", "django.contrib.contenttypes"],
    TENANT_APPS=["django.contrib.contenttypes"],
    TENANT_MODEL="contenttypes.ContentType",
    TENANT_DOMAIN_MODEL="contenttypes.ContentType",
    DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
    ORIGINAL_BACKEND=project.engine(),
    TENANT_LIMIT_SET_CALLS=True,
)


@pytest.fixture(autouse=True)
def tenant() -> None:
    connection.close()
    connection.set_schema_to_public()
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS tenant_a")
    connection.set_schema("tenant_a")
    assert project.asked("SELECT current_schema()") == "tenant_a"


@pytest.mark.parametrize("hooks", [True, False], ids=["hooks", "silent"])
def test_a_child_is_in_its_parent_s_tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hooks: bool) -> None:
    if not hooks:
        # The C library's own, with the interpreter's lock held. Python does not learn of it.
        monkeypatch.setattr(os, "fork", ctypes.PyDLL(None).fork)
    child = forked(lambda: (tmp_path / "schema").write_text(project.asked("SELECT current_schema()")))
    os.waitpid(child, 0)
    assert (tmp_path / "schema").read_text() == "tenant_a"
    assert project.asked("SELECT current_schema()") == "tenant_a"


def test_a_thread_starts_in_public() -> None:
    found = []

    def ask() -> None:
        found.append(project.asked("SELECT current_schema()"))
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == ["public"]


def test_verified() -> None:
    assert project.encrypted()
