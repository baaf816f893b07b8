"""Five notifications, by its own connection wrapper (PGPUBSUB_USE_PSYCOPG_V3=True)."""

from __future__ import annotations

import os

os.environ["PGPUBSUB_USE_PSYCOPG_V3"] = "True"

from django.db import connection  # noqa: E402 (after the variable)

from tests.support.packages import project  # noqa: E402

project.configure("django.contrib.contenttypes", "django.contrib.auth", "pgtrigger", "pgpubsub")


def test_notifications() -> None:
    from pgpubsub.compatibility import ConnectionWrapper

    with connection.cursor() as cursor:
        cursor.execute("LISTEN lab")
    wrapper = ConnectionWrapper(connection.connection)
    for number in range(5):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify('lab', %s)", [str(number)])
    wrapper.poll()
    assert [each.payload for each in wrapper.notifies] == ["0", "1", "2", "3", "4"]
    assert project.encrypted()
