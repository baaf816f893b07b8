"""Settings of the demo project: what a user's own look like, and nothing else of note.

With AZURE_POSTGRESQL_HOST set (and _NAME, _USER, _PASSWORD: the names that Azure's Service Connector uses, of which any
set will do), every command works with that server. Without it only ``manage.py demo`` has one, which it starts itself.
"""

import secrets
from pathlib import Path

from azpg_backend.settings import from_environment

BASE_DIR = Path(__file__).resolve().parent.parent

# The demo keeps nothing that outlives it.
SECRET_KEY = secrets.token_urlsafe(32)
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
INSTALLED_APPS = ["azpg_backend", "demo_project.notes", "django.contrib.staticfiles"]
# CommonMiddleware holds every request to ALLOWED_HOSTS.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF = "demo_project.urls"
WSGI_APPLICATION = "demo_project.wsgi.application"
STATIC_URL = "static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": from_environment(
        "AZURE_POSTGRESQL", default="azpg://demo:set-by-the-demo@demo.postgres.database.azure.com/postgres"
    )
}
