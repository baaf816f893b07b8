"""Azure's Django sample's way: DATABASES from DBHOST, DBNAME, DBUSER and DBPASS, and only ENGINE changed."""

from __future__ import annotations

import os

from tests.support.packages import project

KNOWN = project.known()["database"]
os.environ |= {"DBHOST": "suite", "DBNAME": "app", "DBUSER": "app", "DBPASS": KNOWN["PASSWORD"]}
# This machine is reached under the server's name, and has another root and port.
HERE = {"PORT": KNOWN["PORT"], "OPTIONS": KNOWN["OPTIONS"]}
project.configure(
    "django.contrib.contenttypes",
    "django.contrib.auth",
    databases={
        "default": {
            "ENGINE": project.engine(),
            "NAME": os.environ["DBNAME"],
            "HOST": os.environ["DBHOST"] + ".postgres.database.azure.com",
            "USER": os.environ["DBUSER"],
            "PASSWORD": os.environ["DBPASS"],
            **HERE,
        }
    },
)


def test_migrate_and_write() -> None:
    from django.contrib.auth.models import Group

    project.migrate()
    Group.objects.create(name="restaurant")
    assert Group.objects.get().name == "restaurant"
    assert project.encrypted()
