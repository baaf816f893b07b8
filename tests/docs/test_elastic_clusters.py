"""docs/elastic-clusters.md: the engine that is made of this one and django-multitenant's, as it stands there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import django
import pytest

from demo_project.localpg import LocalPostgres
from tests.support.examples import run_by
from tests.support.settings import SettingsFor

(RECIPE,) = run_by("tests/docs/test_elastic_clusters.py::test_tenants")
PROGRAM = """
import json, os, sys
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": json.loads(os.environ["SHOP"])}, USE_TZ=True, INSTALLED_APPS=["azpg_backend", "shop"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from django.core.management import call_command
from django.db import connection
from django_multitenant.utils import set_current_tenant
from shop.models import Line, Order, Store
with connection.schema_editor() as editor:
    editor.create_model(Store)
    editor.create_model(Order)
    editor.create_model(Line)
one, other = (Store.objects.create(name=name) for name in ("one", "other"))
for store in (one, other):
    set_current_tenant(store)
    Line.objects.create(store=store, order=Order.objects.create(store=store))
    assert [order.store_id for order in Order.objects.all()] == [store.pk]
with connection.cursor() as cursor:
    cursor.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert cursor.fetchone()[0] is True
    keys = connection.introspection.get_constraints(cursor, Line._meta.db_table).values()
    assert ["order_id", "store_id"] in [key["columns"] for key in keys if key["foreign_key"]]
assert connection.vendor == "postgresql"
call_command("azpg_check", offline=True, ignore=["ca"], no_color=True)
"""
MODELS = """
from django.db import models
from django_multitenant.fields import TenantForeignKey
from django_multitenant.models import TenantModel


class Store(TenantModel):
    name = models.CharField(max_length=9)

    class TenantMeta:
        tenant_field_name = "id"


class Order(TenantModel):
    store = models.ForeignKey(Store, on_delete=models.CASCADE)

    class Meta:
        unique_together = [("id", "store")]

    class TenantMeta:
        tenant_field_name = "store_id"


class Line(TenantModel):
    store = models.ForeignKey(Store, on_delete=models.CASCADE)
    order = TenantForeignKey(Order, on_delete=models.CASCADE)

    class TenantMeta:
        tenant_field_name = "store_id"
"""


def test_tenants(own_server: LocalPostgres, settings_for: SettingsFor, tmp_path: Path) -> None:
    pytest.importorskip("django_multitenant")
    if django.VERSION >= (6, 1):
        pytest.skip("django-multitenant 4.1 writes foreign keys without Django 6.1's on_delete_db")
    for name, text in (
        ("mysite/__init__.py", ""),
        ("mysite/engine/__init__.py", ""),
        ("mysite/engine/base.py", RECIPE.text),
        ("shop/__init__.py", ""),
        ("shop/models.py", MODELS),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    settings = {**settings_for(own_server), "ENGINE": "mysite.engine"}
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    environ = {**kept, "PYTHONPATH": path, "SHOP": json.dumps(settings)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "read-write" in done.stdout
