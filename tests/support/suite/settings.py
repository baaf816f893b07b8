"""Settings for Django's own test suite: two aliases on the server that stage.py started, on the engine it names."""

import json
import os

_SHARED = json.loads(os.environ["AZPG_SUITE_DATABASE"])
DATABASES = {"default": {**_SHARED, "NAME": "suite"}, "other": {**_SHARED, "NAME": "suite_other"}}
TEST_RUNNER = "azpg_suite_recording.Runner"
SECRET_KEY = "suite"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
