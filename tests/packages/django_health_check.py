"""Its view for a database that answers, refuses the port, and refuses the password."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import path

from tests.support.packages import project

# Nobody listens on port 1.
WAITS = {"azpg": {"connect_retry_seconds": 0}} if project.engine() != project.STOCK else {}
DATABASES = {
    "default": project.database(),
    "refused": project.database(PORT="1", OPTIONS=WAITS),
    "password": project.database(PASSWORD="wrong"),
}
project.configure("health_check", databases=DATABASES, ROOT_URLCONF=__name__, MIDDLEWARE=[])

from health_check.views import HealthCheckView  # noqa: E402 (needs settings)

urlpatterns = [
    path(alias, HealthCheckView.as_view(checks=[("health_check.Database", {"alias": alias})])) for alias in DATABASES
]


@pytest.mark.parametrize(("alias", "status"), [("default", 200), ("refused", 500), ("password", 500)])
def test_view(alias: str, status: int) -> None:
    answer = Client(raise_request_exception=False).get(f"/{alias}", {"format": "json"})
    assert answer.status_code == status
    assert b"suite0password" not in answer.content
