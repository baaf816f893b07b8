"""The tests of Django's own suite that must come out differently on this engine, each with its reason.

The comparison fails if one of them no longer differs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """kinds: the outcome on this engine, and the one on Django's."""

    kinds: tuple[str, str]
    reason: str


DECLARED = {
    "gis_tests.inspectapp.tests.OGRInspectTest.test_time_field": Difference(
        ("skipped", "passed"),
        "The test itself makes GDAL's data source for the engines it knows by name, which are Django's own.",
    ),
}
