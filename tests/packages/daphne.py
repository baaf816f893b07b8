"""200 requests, to ordinary and to asynchronous views."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import appservers
from tests.support.packages import project


@pytest.mark.parametrize("path", ["", "async"])
def test_requests(tmp_path: Path, path: str) -> None:
    with appservers.serving("daphne", {"default": project.database()}, tmp_path) as site:
        answers, errors = site.many(200, 8, path)
    assert errors == []
    assert len(answers) == 200
