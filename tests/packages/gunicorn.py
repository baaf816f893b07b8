"""200 requests to workers that were forked after the site had used the database (--preload)."""

from __future__ import annotations

from pathlib import Path

from tests.support import appservers
from tests.support.packages import project


def test_preload(tmp_path: Path) -> None:
    databases = {"default": project.database(CONN_MAX_AGE=60)}
    answers = appservers.all_answered("gunicorn", databases, tmp_path, SITE_AT_IMPORT="query")
    assert len({each["process"] for each in answers}) > 1
