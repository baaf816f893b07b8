"""Fixtures for every test: Django set up once, and an environment in which nothing of this machine's own counts."""

from __future__ import annotations

import os

import django
import pytest

# Variables by which libpq, OpenSSL, requests and azure-identity would bring this machine's configuration into a test.
_PREFIXES = ("PG", "SSL_CERT_", "AZURE_", "IDENTITY_", "MSI_", "IMDS_")
_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def pytest_configure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name.upper() in _NAMES:
            monkeypatch.delenv(name)
