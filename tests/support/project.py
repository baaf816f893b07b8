"""A Django project of a user's, in a folder of its own, whose default alias leads to a local server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SETTINGS = """\
import json
SECRET_KEY = "for tests"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "azpg_backend"]
DATABASES = json.load(open("databases.json"))
"""
_MANAGE = """\
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "shop"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def make_project(folder: Path, **aliases: dict[str, Any]) -> Path:
    """Write the project, and return its folder."""
    (folder / "databases.json").write_text(json.dumps(aliases))
    (folder / "shop.py").write_text(_SETTINGS)
    (folder / "manage.py").write_text(_MANAGE)
    return folder
