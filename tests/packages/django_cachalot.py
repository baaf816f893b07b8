"""A query whose result is cached, and no longer after a change, by the recipe's setting."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.packages import project

project.configure(
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "cachalot",
    CACHALOT_ADDITIONAL_SUPPORTED_DATABASES=project.followed(
        "django-cachalot", "mysite_settings"
    ).CACHALOT_ADDITIONAL_SUPPORTED_DATABASES,
)


def asked() -> tuple[list[str], int]:
    """Return the names of groups, and how many queries that took."""
    from django.contrib.auth.models import Group

    with CaptureQueriesContext(
        connection,
    ) as queries:
        names = list(Group.objects.order_by("name").values_list("name", flat=True))
    return names, len(queries)


def test_cached_until_it_changes() -> None:
    from django.contrib.auth.models import Group

    project.migrate()
    assert asked() == ([], 1)
    assert asked() == ([], 0)
    Group.objects.create(name="a")
    assert asked() == (["a"], 1)
