"""A Django site for real application servers, configured by the environment. Each request writes and says where it ran.

SITE_DATABASES: DATABASES as JSON.
SITE_AT_IMPORT: "query" to use the database before the server forks, and keep the connection.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path


def ask() -> dict[str, Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    return {"process": os.getpid(), "backend": backend}


def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse(ask())


async def async_view(request: HttpRequest) -> JsonResponse:
    from asgiref.sync import sync_to_async

    return JsonResponse(await sync_to_async(ask)())


urlpatterns = [path("", view), path("async", async_view)]

if not settings.configured:
    settings.configure(
        DATABASES=json.loads(os.environ["SITE_DATABASES"]),
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="for tests",
        USE_TZ=True,
        INSTALLED_APPS=["azpg_backend"],
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


wsgi = WSGIHandler()
asgi = ASGIHandler()
