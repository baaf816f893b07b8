"""azpg:// URLs in the packages that read URLs: dj-database-url, django-environ."""

from __future__ import annotations

import importlib
from typing import Any

from azpg_backend.settings.entry import ENGINE, GIS_ENGINE

ENGINES = {"azpg": ENGINE, "azpgis": GIS_ENGINE}


def register_urls() -> None:
    """Teach dj-database-url and django-environ, whichever is installed, that azpg:// and azpgis:// are this engine.

    Raises ImportError if neither is.
    """
    found = [package for package in map(_imported, ("dj_database_url", "environ")) if package is not None]
    if not found:
        raise ImportError("register_urls() needs dj-database-url or django-environ, and neither is installed")
    for package in found:
        for scheme, engine in ENGINES.items():
            if hasattr(package, "register"):
                # Its own for PostgreSQL: ?currentSchema=... becomes the search path.
                package.register(scheme, engine)(package.apply_current_schema)
            else:
                package.Env.DB_SCHEMES[scheme] = engine


def _imported(name: str) -> Any:
    try:
        package = importlib.import_module(name)
    except ImportError:
        return None
    # Another project on PyPI is called environ too.
    return package if name != "environ" or hasattr(package, "Env") else None
