"""200 requests to gunicorn with gevent workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import appservers
from tests.support.packages import project

COMMAND = (
    "gunicorn --worker-class gevent --workers 2 --bind {address}:{port} --worker-tmp-dir /dev/shm --no-control-socket"
    " tests.support.site:wsgi"
)


def test_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(appservers.COMMANDS, "gunicorn", COMMAND)
    appservers.all_answered("gunicorn", {"default": project.database()}, tmp_path)
