"""Twenty greenlets that share four connections, by the recipe's engine; with a token."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402 (after the patch)
import pytest  # noqa: E402
from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: E402

from tests.support.packages import project  # noqa: E402

POOL = {"MAX_CONNS": 4, "REUSE_CONNS": 4}
if project.engine() == project.STOCK:
    NAME = "django_db_geventpool.backends.postgresql_psycopg" + ("3" if is_psycopg3 else "2")
    project.configure(databases={"default": project.database(ENGINE=NAME, OPTIONS=POOL)})
else:
    text = project.recipe("django-db-geventpool")
    if not is_psycopg3:
        text = text.replace("psycopg3", "psycopg2").replace("psycopg.pq.", "psycopg.extensions.")
        text = text.replace("TransactionStatus.INTRANS", "TRANSACTION_STATUS_INTRANS")
        text = text.replace("import psycopg\n", "import psycopg2 as psycopg\nimport psycopg2.extensions\n")
    NAME = project.engine_of(text, "mysite_engine")
    project.configure(
        databases={
            "default": project.database(ENGINE=NAME, OPTIONS=POOL),
            "managed": project.entra(ENGINE=NAME, OPTIONS=POOL),
        }
    )


def shared(alias: str) -> set[int]:
    from django.db import connections

    found = []

    def work() -> None:
        for _ in range(3):
            found.append(project.asked("SELECT pg_backend_pid() FROM pg_sleep(0.01)", alias))
            connections[alias].close()

    # It counts a connection once it is there, so a first rush opens as many as there are greenlets.
    for _ in range(2):
        found.clear()
        gevent.joinall([gevent.spawn(work) for _ in range(20)], raise_error=True)
    assert len(found) == 60
    return set(found)


def test_four_connections() -> None:
    assert 1 <= len(shared("default")) <= 4
    assert project.encrypted()


@pytest.mark.recipe
def test_a_token() -> None:
    assert 1 <= len(shared("managed")) <= 4
    assert project.asked("SELECT current_user", "managed") == "managed"
