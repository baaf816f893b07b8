from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.diagnosis import Scenarios


@pytest.fixture(scope="session")
def scenarios(request: pytest.FixtureRequest) -> Iterator[Scenarios]:
    met = Scenarios()
    yield met
    if request.config.getoption("--write-scenarios"):
        met.write()
