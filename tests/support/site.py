"""A Django site for real application servers, configured by the environment. Each request writes and says where it ran.

SITE_DATABASES: DATABASES as JSON.
SITE_AT_IMPORT: "query" to use the database before the server forks, and keep the connection; "query in a thread" for
greenlets, which would share the wrapper of the thread that imports the site, and Django refuses that.
SITE_DRIVER: "psycopg2" to use that one though psycopg 3 is installed too; with SITE_GREEN it waits as greenlets do.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

if os.environ.get("SITE_DRIVER") == "psycopg2":
    # Django takes psycopg 3 if it can be imported.
    sys.modules["psycopg"] = None  # type: ignore[assignment]
    if os.environ.get("SITE_GREEN"):
        from psycogreen.gevent import patch_psycopg

        patch_psycopg()

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path


def ask(alias: str = "default") -> dict[str, Any]:
    from django.db import connections

    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    return {"process": os.getpid(), "backend": backend}


def view(request: HttpRequest, alias: str = "default") -> JsonResponse:
    return JsonResponse(ask(alias))


async def async_view(request: HttpRequest) -> JsonResponse:
    from asgiref.sync import sync_to_async

    return JsonResponse(await sync_to_async(ask)())


urlpatterns = [path("", view), path("async", async_view), path("of/<alias>", view)]

if not settings.configured:
    settings.configure(
        DATABASES=json.loads(os.environ["SITE_DATABASES"]),
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="for tests",
        USE_TZ=True,
        INSTALLED_APPS=["azpg_backend", "demo_project.notes"],
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"all": {"class": "logging.StreamHandler", "stream": sys.stderr}},
            "root": {"handlers": ["all"], "level": "INFO"},
        },
    )
    django.setup()
    if os.environ.get("SITE_AT_IMPORT") == "query":
        ask()
    elif os.environ.get("SITE_AT_IMPORT") == "query in a thread":
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join()


wsgi = WSGIHandler()
asgi = ASGIHandler()
