"""Django's pool, which only psycopg 3 has."""

from __future__ import annotations

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3

needs_pool = pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
