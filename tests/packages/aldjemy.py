"""SQLAlchemy's queries on Django's connection, by an engine with "postgresql" in its name; the recipe's setting."""

from __future__ import annotations

import pytest

from tests.support.packages import project

project.configure(
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "aldjemy",
    databases={"default": project.database(ENGINE=project.named_engine()), "plain": project.database()},
    ALDJEMY_ENGINES=project.followed("aldjemy", "mysite_settings").ALDJEMY_ENGINES,
)


def names(alias: str) -> list[str]:
    from aldjemy.session import get_session
    from django.contrib.auth.models import Group

    return [each.name for each in get_session(alias).query(Group.sa)]


def test_in_django_s_transaction() -> None:
    from django.contrib.auth.models import Group
    from django.db import transaction

    project.migrate()
    with transaction.atomic():
        Group.objects.create(name="a")
        assert names("default") == ["a"]
        transaction.set_rollback(True)
    assert names("default") == []
    assert project.encrypted()


@pytest.mark.recipe
def test_by_the_engine_s_short_name() -> None:
    project.migrate()
    assert names("plain") == []
