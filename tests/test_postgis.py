"""The PostGIS engine: Django's PostGIS parts, and our connecting. GDAL and GEOS come from wheels that bundle them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo_project.localpg import LocalPostgres
from tests.support.settings import SettingsFor

PROGRAM = """
import json, sys
import pyogrio, shapely  # so that the libraries beside GDAL and GEOS are loaded
import django
from django.conf import settings
database, gdal, geos = json.loads(sys.argv[1])
settings.configure(DATABASES={"default": database}, GDAL_LIBRARY_PATH=gdal, GEOS_LIBRARY_PATH=geos, USE_TZ=True)
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    tls = cursor.fetchone()[0]
with connection._nodb_cursor() as cursor:
    cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    maintenance_tls = cursor.fetchone()[0]
parts = [type(part).__module__ for part in (connection.ops, connection.features, connection.introspection)]
parts += [connection.SchemaEditorClass.__module__, type(connection.client).__module__]
print(json.dumps([tls, maintenance_tls, *parts]))
"""


def library(package: str, prefix: str) -> str:
    """Find a library among those that a wheel brings."""
    found = importlib.util.find_spec(package)
    folder = Path(found.origin or "").parent if found else Path()
    for place in (folder.with_name(f"{package}.libs"), folder / ".dylibs"):
        for path in place.glob(f"{prefix}*"):
            return str(path)
    pytest.skip(f"no {prefix} in {package}'s wheel")


def test_postgis_parts_and_verified_tls(server: LocalPostgres, settings_for: SettingsFor) -> None:
    libraries = library("pyogrio", "libgdal"), library("shapely", "libgeos_c")
    database = settings_for(server, ENGINE="azpg_backend.postgis")
    command = [sys.executable, "-c", PROGRAM, json.dumps([database, *libraries])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        True,
        True,
        "django.contrib.gis.db.backends.postgis.operations",
        "django.contrib.gis.db.backends.postgis.features",
        "django.contrib.gis.db.backends.postgis.introspection",
        "django.contrib.gis.db.backends.postgis.schema",
        "azpg_backend.client",
    ]
