"""Its SQL panel's record of queries."""

from __future__ import annotations

from django.db import connection

from tests.support.packages import project

project.configure("django.contrib.staticfiles", "debug_toolbar", DEBUG=True, STATIC_URL="static/")


def test_sql_panel() -> None:
    from debug_toolbar.panels.sql.tracking import wrap_cursor

    recorded = []

    class Logger:
        def record(self, **query: object) -> None:
            recorded.append(query)

        def new_transaction_id(self, alias: str) -> str:
            return alias

        def current_transaction_id(self, alias: str) -> str:
            return alias

    wrap_cursor(connection)
    connection._djdt_logger = Logger()
    project.asked("SELECT 7")
    assert [each["raw_sql"] for each in recorded] == ["SELECT 7"]
    assert project.asked("EXPLAIN SELECT 7").startswith("Result")
