"""The engine over Django's PostGIS backend: ``"ENGINE": "azpg_backend.postgis"``."""
