"""The same wrapper over Django's PostGIS one."""

from django.contrib.gis.db.backends.postgis.base import DatabaseWrapper as PostGISDatabaseWrapper

from azpg_backend.base import DatabaseWrapper as AzureDatabaseWrapper


class DatabaseWrapper(AzureDatabaseWrapper, PostGISDatabaseWrapper):
    pass
