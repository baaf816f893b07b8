"""Settings of the small application, on the engine that AZPG_SUITE_DATABASE names."""

import json
import os

_SHARED = json.loads(os.environ["AZPG_SUITE_DATABASE"])
DATABASES = {"default": {**_SHARED, "NAME": "suite"}, "other": {**_SHARED, "NAME": "suite_other"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.postgres",
    "shelf",
]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache_table"}}
SECRET_KEY = "shelf"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
