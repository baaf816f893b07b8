"""The tests of Django's own suite that must come out differently on this engine, each with its reason.

The comparison fails if one of them no longer differs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """kinds: the outcome on this engine, and the one on Django's. pool: whether it takes OPTIONS["pool"] to see it."""

    kinds: tuple[str, str]
    reason: str
    pool: bool = False


_AGE = Difference(
    ("error", "passed"),
    "The test sets CONN_MAX_AGE beside a pool that is there already. Django looks at it only when it makes the pool; "
    "this engine refuses every connect, as Django does in a new process.",
    pool=True,
)
_ALL = {
    "backends.base.test_base.ConnectionHealthChecksTests.test_health_checks_disabled": _AGE,
    "backends.base.test_base.ConnectionHealthChecksTests.test_health_checks_enabled_errors_occurred": _AGE,
    "gis_tests.inspectapp.tests.OGRInspectTest.test_time_field": Difference(
        ("skipped", "passed"),
        "The test itself makes GDAL's data source for the engines it knows by name, which are Django's own.",
    ),
    "servers.tests.LiveServerTestCloseConnectionTest.test_closes_connections": _AGE,
}


def declared(pool: bool) -> dict[str, Difference]:
    """Return the declared differences by the tests' ids, with those that a pool makes or without."""
    return {test: each for test, each in _ALL.items() if pool or not each.pool}
