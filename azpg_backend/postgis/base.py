"""The same wrapper, with PostGIS operations, features, introspection and schema editor from Django."""

from django.contrib.gis.db.backends.postgis.base import DatabaseWrapper as PostGISDatabaseWrapper

from azpg_backend.base import DatabaseWrapper as AzureDatabaseWrapper


class DatabaseWrapper(AzureDatabaseWrapper, PostGISDatabaseWrapper):
    pass
