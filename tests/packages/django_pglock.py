"""Advisory locks between two connections, time limits, and django-pgactivity's view of what runs."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection, transaction

from tests.support.packages import project

project.configure("django.contrib.contenttypes", "django.contrib.auth", "pgactivity", "pglock")


def in_another_thread(lock: str) -> bool:
    """Return whether another connection gets a lock."""
    import pglock

    found = []

    def run() -> None:
        with pglock.advisory(lock, timeout=0) as acquired:
            found.append(acquired)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return bool(found[0])


def test_an_advisory_lock() -> None:
    import pglock

    with pglock.advisory("mine"):
        assert not in_another_thread("mine")
        assert in_another_thread("another")
    assert in_another_thread("mine")


def test_a_time_limit() -> None:
    import pgactivity

    with pytest.raises(OperationalError), transaction.atomic(), pgactivity.timeout(milliseconds=50):
        project.asked("SELECT pg_sleep(60)")
    assert project.asked("SELECT 1") == 1


def test_what_runs_and_for_whom() -> None:
    import pgactivity
    from pgactivity.models import PGActivity

    with pgactivity.context(url="/orders/"):
        (found,) = PGActivity.objects.filter(id=connection.connection.info.backend_pid)
    assert found.context == {"url": "/orders/"}
    assert project.encrypted()
