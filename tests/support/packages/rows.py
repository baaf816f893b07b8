"""The rows of the table in docs/composition.md: one for each package, with a result for each driver."""

from __future__ import annotations

import json
import platform
import re
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.support.packages.catalogue import Package
from tests.support.packages.outcomes import Comparison, counted

Row = dict[str, Any]
DRIVERS = {"psycopg2": "psycopg2", "psycopg3": "psycopg 3"}


def row(package: Package, comparison: Comparison) -> Row:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    driver, distribution = ("psycopg3", "psycopg") if is_psycopg3 else ("psycopg2", "psycopg2-binary")
    run = {
        "stock": counted(comparison.stock) if comparison.stock else "",
        "ours": counted(comparison.ours) if comparison.ours else "",
        "verdict": comparison.verdict,
    }
    return {
        "package": package.name,
        "version": _version(package),
        "what": package.what,
        "on": date.today().isoformat(),
        "with": {
            "Python": platform.python_version(),
            "Django": version("Django"),
            DRIVERS[driver]: version(distribution),
        },
        "runs": {driver: run},
    }


def _version(package: Package) -> str:
    return version(package.requirements[0].partition("[")[0]) if package.requirements else ""


def keep(folder: Path, new: Row) -> None:
    """Write a row to its file, beside the results of other drivers for the same release."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{new['package']}.json"
    if path.exists():
        old = json.loads(path.read_text("utf-8"))
        if (old["version"], old["what"]) == (new["version"], new["what"]):
            new = {**new, "with": old["with"] | new["with"], "runs": old["runs"] | new["runs"]}
    path.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", "utf-8")


def line(row: Row, package: Package, anchor: str = "") -> str:
    """Return a row of Markdown; anchor: of the section about the package, "" if there is none."""
    name = f"[{row['package']}](#{anchor})" if anchor else row["package"]
    what = re.sub(r"; [A-Z](?=[a-z ])", lambda each: each[0].lower(), row["what"])
    what += f" ({package.without})" if package.without else ""
    said = [_said(row["runs"], key) for key in ("stock", "ours", "verdict")]
    return f"| {' | '.join([name, row['version'], what[0].upper() + what[1:], *said])} |"


def _said(runs: dict[str, dict[str, str]], key: str) -> str:
    """Return what every driver's run says, or what each of them says."""
    found = {driver: run[key] for driver, run in sorted(runs.items())}
    if len(set(found.values())) == 1 and (len(found) == len(DRIVERS) or key != "verdict"):
        return next(iter(found.values()))
    return "; ".join(f"{DRIVERS[driver]}: {said}" for driver, said in found.items())
