"""Queries that several tests share."""

from __future__ import annotations

from typing import Any


def user_of(wrapper: Any) -> str:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return str(cursor.fetchone()[0])
