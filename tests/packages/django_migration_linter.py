"""Migrations that a running site would not bear, by an engine with "postgresql" in its name; the recipe's setting."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import override_settings

from tests.support.packages import project

SHOP = {
    "__init__": "",
    "models": """
from django.db import models

class Item(models.Model):
    name = models.TextField(db_index=True)
    price = models.IntegerField()
""",
    "migrations/__init__": "",
    "migrations/0001_initial": """
from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())])
    ]
""",
    "migrations/0002_index": """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.AlterField("Item", "name", models.TextField(db_index=True))]
""",
    "migrations/0003_price": """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0002_index")]
    operations = [migrations.AddField("Item", "price", models.IntegerField(default=1))]
""",
}
ROOT = Path(os.environ["HOME"])
for name, text in SHOP.items():
    path = ROOT / "shop" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
sys.path.insert(0, str(ROOT))
project.configure(
    "shop",
    "django_migration_linter",
    databases={"default": project.database(ENGINE=project.named_engine()), "plain": project.database()},
)


def said(alias: str) -> str:
    """Return what the linter prints; it has to find an error."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        call_command("lintmigrations", "shop", database=alias, project_root_path=str(ROOT), no_cache=True)
    return printed.getvalue()


def test_postgresql_s_own_warnings() -> None:
    found = said("default")
    assert "(shop, 0001_initial)... OK" in found
    assert "CREATE INDEX locks table" in found
    assert "NOT NULL constraint on columns" in found


@pytest.mark.recipe
def test_by_the_engine_s_short_name() -> None:
    with pytest.raises(ValueError, match="Unsupported database vendor 'azpg_backend'"):
        said("plain")
    options = project.followed("django-migration-linter", "mysite_settings").MIGRATION_LINTER_OPTIONS
    with override_settings(MIGRATION_LINTER_OPTIONS=options):
        assert said("plain") == said("default")
