"""The PostGIS engine: Django's PostGIS parts, and our connecting. GDAL and GEOS come from wheels that bundle them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo_project.localpg import LocalPostgres, azure_chain
from tests.support import debian
from tests.support.settings import HOST, PASSWORD, Settings, SettingsFor, settings_at

START = """
import json, sys
import pyogrio, shapely  # so that the libraries beside GDAL and GEOS are loaded
import django
from django.conf import settings
database, gdal, geos = json.loads(sys.argv[1])
settings.configure(DATABASES={"default": database}, GDAL_LIBRARY_PATH=gdal, GEOS_LIBRARY_PATH=geos, USE_TZ=True)
django.setup()
from django.db import connection
"""
PARTS = """
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
GEOMETRY = """
from django.contrib.gis.db import models
from django.contrib.gis.db.models.functions import AsGeoJSON, Distance
from django.contrib.gis.geos import Point, Polygon
from django.contrib.gis.measure import D

class City(models.Model):
    name = models.TextField()
    point = models.PointField(geography=True, spatial_index=True)
    area = models.PolygonField(srid=4326, null=True)

    class Meta:
        app_label = "cities"

connection.prepare_database()
with connection.schema_editor() as editor:
    editor.create_model(City)
berlin, paris = Point(13.405, 52.52, srid=4326), Point(2.3522, 48.8566, srid=4326)
City.objects.create(name="Berlin", point=berlin, area=Polygon.from_bbox((13, 52, 14, 53)))
City.objects.create(name="Paris", point=paris)
far = City.objects.filter(point__distance_gt=(berlin, D(km=100))).annotate(far=Distance("point", berlin)).get()
found = City.objects.filter(area__contains=berlin).annotate(text=AsGeoJSON("point", precision=2)).get()
with connection.cursor() as cursor:
    columns = connection.introspection.get_table_description(cursor, "cities_city")
    area = connection.introspection.get_geometry_type("cities_city", columns[-1])
print(json.dumps([far.name, round(far.far.km), found.area.srid, json.loads(found.text)["coordinates"], *area]))
"""


def library(package: str, prefix: str) -> str:
    """Find a library among those that a wheel brings."""
    found = importlib.util.find_spec(package)
    folder = Path(found.origin or "").parent if found else Path()
    for place in (folder.with_name(f"{package}.libs"), folder / ".dylibs"):
        for path in place.glob(f"{prefix}*"):
            return str(path)
    pytest.skip(f"no {prefix} in {package}'s wheel")


def answer(program: str, database: Settings) -> Any:
    libraries = library("pyogrio", "libgdal"), library("shapely", "libgeos_c")
    command = [sys.executable, "-c", START + program, json.dumps([database, *libraries])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_postgis_parts_and_verified_tls(server: LocalPostgres, settings_for: SettingsFor) -> None:
    assert answer(PARTS, settings_for(server, ENGINE="azpg_backend.postgis")) == [
        True,
        True,
        "django.contrib.gis.db.backends.postgis.operations",
        "django.contrib.gis.db.backends.postgis.features",
        "django.contrib.gis.db.backends.postgis.introspection",
        "django.contrib.gis.db.backends.postgis.schema",
        "azpg_backend.client",
    ]


@pytest.mark.server
@pytest.mark.slow
def test_the_real_extension(tmp_path: Path) -> None:
    """``python -m tests.django_suite.run --gis`` compares all of GeoDjango's own tests."""
    programs = debian.server_with("postgis")
    if programs is None:
        pytest.skip("Debian's PostgreSQL with PostGIS is not installed")
    chain = azure_chain(HOST)
    root = tmp_path / "root.pem"
    root.write_text(chain.root_pem)
    with LocalPostgres(chain, bin_dir=programs) as server:
        server.create("app", PASSWORD.replace("'", "''"), "app", "SUPERUSER")
        database = {**settings_at(server.port, str(root)), "ENGINE": "azpg_backend.postgis"}
        assert answer(GEOMETRY, database) == ["Paris", 880, 4326, [13.4, 52.52], "PolygonField", {}]
