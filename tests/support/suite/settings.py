"""Settings for Django's own test suite: its own ones, on the server that stage.py started and the engine it names."""

import json
import os

# The suite's folder is on sys.path. What its settings leave out has the default of its release.
from test_sqlite import *  # noqa: F403

_SHARED = json.loads(os.environ["AZPG_SUITE_DATABASE"])
DATABASES = {"default": {**_SHARED, "NAME": "suite"}, "other": {**_SHARED, "NAME": "suite_other"}}
TEST_RUNNER = "azpg_suite_recording.Runner"
