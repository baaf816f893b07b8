"""Run packages on Django's engine and on this one: ``python -m tests.packages NAME ... [--rows FOLDER]``.

The packages are installed already, and the driver is the one that Django picks. Exit status 1 says that a test went
another way than with Django's engine, or that a recipe does not work.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tests.support.packages import rows, runs
from tests.support.packages.catalogue import NO_TESTS, Package, load
from tests.support.packages.lab import OURS, STOCK, Lab, opened
from tests.support.packages.outcomes import Comparison


def compared(package: Package, lab: Lab, cache: Path | None) -> Comparison:
    found = {}
    for engine in (STOCK, OURS):
        own = runs.suite(package, engine, lab, cache) if cache is not None else {}
        ours, recipes = runs.scenario(package, engine, lab)
        found[engine] = {**own, **ours}
        failing = 2 * list(own.values()).count("passed") < len(own)
    must = {name: outcome for name, outcome in ours.items() if outcome != "skipped"} | recipes
    if cache is not None and package.without == NO_TESTS and runs.has_tests(package, cache):
        must["its source package has tests"] = "not run"
    if failing:
        # Of a run that is set up wrongly, all that can be said is that it fails the same way.
        must["its own tests"] = "most do not pass"
    return Comparison(found[STOCK], found[OURS], must, len(recipes), package.mended, package.explained)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    catalogue = load()
    parser.add_argument("names", nargs="+", choices=sorted(catalogue), metavar="NAME")
    parser.add_argument("--rows", type=Path, help="Where the row of each package goes, for docs/composition.md.")
    parser.add_argument(
        "--sources", type=Path, help="Where sources are kept; without it, packages' own tests don't run."
    )
    parser.add_argument("-v", action="store_true", help="Print what the tests print.")
    arguments = parser.parse_args()
    different = []
    with opened() as lab:
        for name in arguments.names:
            package = catalogue[name]
            if arguments.sources is None:
                package = replace(package, suite=None)
            comparison = compared(package, lab, arguments.sources)
            row = rows.row(package, comparison)
            print(rows.line(row, package), flush=True)
            for difference in comparison.differences:
                print(f"    {difference}")
            different += comparison.differences
            if arguments.rows:
                rows.keep(arguments.rows, row)
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
