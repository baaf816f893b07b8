"""All its migrations, none missing; pages, its search index and search."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from tests.support.packages import project

project.configure(
    *("wagtail.contrib.forms", "wagtail.contrib.redirects", "wagtail.embeds", "wagtail.sites", "wagtail.users"),
    *("wagtail.snippets", "wagtail.documents", "wagtail.images", "wagtail.search", "wagtail.admin", "wagtail"),
    *("modelcluster", "taggit", "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes"),
    *("django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles"),
    WAGTAIL_SITE_NAME="lab",
    WAGTAILADMIN_BASE_URL="http://localhost",
    STATIC_URL="static/",
    WAGTAILSEARCH_BACKENDS={"default": {"BACKEND": "wagtail.search.backends.database"}},
)


@pytest.fixture(scope="module", autouse=True)
def migrated() -> None:
    project.migrate()


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_pages_and_search() -> None:
    from wagtail.models import Page

    root = Page.objects.get(depth=1)
    root.add_child(instance=Page(title="A violet elephant", slug="elephant"))
    root.add_child(instance=Page(title="A red giraffe", slug="giraffe"))
    call_command("update_index", verbosity=0)
    assert [each.title for each in Page.objects.search("elephants")] == ["A violet elephant"]


def test_its_search_is_postgresql_s() -> None:
    from wagtail.search.backends import get_search_backend

    assert "postgres" in type(get_search_backend()).__module__
