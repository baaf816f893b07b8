"""Queries that several tests share."""

from __future__ import annotations

from typing import Any

# As demo_project.notes has it.
NOTES = "CREATE TABLE notes_note (id bigserial PRIMARY KEY, text varchar(200), created timestamptz)"


def user_of(wrapper: Any) -> str:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return str(cursor.fetchone()[0])


def sessions_of(application_name: str) -> str:
    """Return a query for the process ids of one application: other tests share the server, and may still be leaving."""
    return f"SELECT pid FROM pg_stat_activity WHERE application_name = '{application_name}'"
