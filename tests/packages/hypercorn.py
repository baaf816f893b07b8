"""200 requests, to ordinary and to asynchronous views."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import appservers
from tests.support.packages import project


@pytest.mark.parametrize("path", ["", "async"])
def test_requests(tmp_path: Path, path: str) -> None:
    appservers.all_answered("hypercorn", {"default": project.database()}, tmp_path, path)
