"""Settings for Django's own test suite: two aliases of this engine on the server that run.py started."""

import os

_SHARED = {
    "ENGINE": "azpg_backend",
    "USER": "suite",
    "PASSWORD": os.environ["AZPG_SUITE_PASSWORD"],
    "HOST": os.environ["AZPG_SUITE_HOST"],
    "PORT": os.environ["AZPG_SUITE_PORT"],
    "OPTIONS": {"hostaddr": "127.0.0.1", "sslrootcert": os.environ["AZPG_SUITE_ROOT"]},
}
DATABASES = {"default": {**_SHARED, "NAME": "suite"}, "other": {**_SHARED, "NAME": "suite_other"}}
SECRET_KEY = "suite"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
