"""Threads that share connections, by the recipe's engine; with a token."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from tests.support.packages import project

NAME = project.engine_module("django-db-connection-pool", "mysite_engine")
POOL = {"POOL_OPTIONS": {"POOL_SIZE": 3, "MAX_OVERFLOW": 0}}
DATABASES = {"default": {**project.database(ENGINE=NAME), **POOL}}
if project.engine() != project.STOCK:
    DATABASES["managed"] = {**project.entra(ENGINE=NAME), **POOL}
project.configure(databases=DATABASES)


def shared(alias: str) -> set[int]:
    found = []

    def work() -> None:
        for _ in range(3):
            found.append(project.asked("SELECT pg_backend_pid() FROM pg_sleep(0.01)", alias))
            connections[alias].close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 18
    return set(found)


def test_three_connections() -> None:
    assert 1 <= len(shared("default")) <= 3
    assert project.encrypted()


@pytest.mark.recipe
def test_a_token() -> None:
    assert 1 <= len(shared("managed")) <= 3
    assert project.asked("SELECT current_user", "managed") == "managed"
