"""Write the tables of ``docs/composition.md``: ``python scripts/write_composition.py [--check] [FOLDER]``.

FOLDER holds rows that ``nox -s packages`` made; they replace those of the same packages in
``tests/packages/rows.json``, of which the tables are made. With ``--check`` nothing is written: the exit status is 1
if the page is not what this would write, or if a package has no row for each of its drivers, or an old one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.packages import rows  # noqa: E402 (needs the path)
from tests.support.packages.catalogue import Package, load  # noqa: E402

PAGE = ROOT / "docs" / "composition.md"
KEPT = ROOT / "tests" / "packages" / "rows.json"
BEGIN, END = "<!-- below: written by scripts/write_composition.py -->", "<!-- above: written -->"
HEAD = "| package | version | what was run | Django's engine | this engine | result |\n" + "| --- " * 6 + "|"


def tables(found: Mapping[str, Any], catalogue: Mapping[str, Package], page: str) -> str:
    parts = [circumstances(found)]
    for group in dict.fromkeys(each.group for each in catalogue.values()):
        lines = [
            rows.line(found[name], package, name if f"\n### {name}\n" in page else "")
            for name, package in catalogue.items()
            if package.group == group and name in found
        ]
        parts.append(f"## {group}\n\n{HEAD}\n" + "\n".join(lines))
    return "\n\n".join(parts)


def circumstances(found: Mapping[str, Any]) -> str:
    """Return when and with what the rows were made."""
    days = sorted({row["on"] for row in found.values()})
    names: dict[str, set[str]] = {}
    for row in found.values():
        for name, version in row["with"].items():
            names.setdefault(name, set()).add(version)
    said = ", ".join(f"{name} {' and '.join(sorted(each))}" for name, each in sorted(names.items()))
    return f"Run on {' and '.join(days)} with {said}, over verified TLS."


def written(page: str, found: Mapping[str, Any], catalogue: Mapping[str, Package]) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables(found, catalogue, page)}\n\n{END}{after}"


def missing(found: Mapping[str, Any], catalogue: Mapping[str, Package]) -> Iterator[str]:
    for name, package in catalogue.items():
        row = found.get(name, {"runs": {}, "what": ""})
        for driver in package.drivers:
            run = row["runs"].get(driver)
            if run is None or row["what"] != package.what or "differ" in run["verdict"]:
                yield f'{name}, {driver}: run nox -s "packages({name})", then scripts/write_composition.py'
    yield from (f"{name}: not in the catalogue" for name in found if name not in catalogue)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where nox has left rows")
    parser.add_argument("--check", action="store_true", help="Write nothing; exit with 1 if something is to be done.")
    arguments = parser.parse_args()
    catalogue = load()
    found = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    for path in sorted(arguments.folder.glob("*.json")) if arguments.folder else ():
        found[path.stem] = json.loads(path.read_text("utf-8"))
    page = PAGE.read_text("utf-8")
    new = written(page, found, catalogue)
    if not arguments.check:
        KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
        PAGE.write_text(new, "utf-8")
    elif new != page:
        print("docs/composition.md is out of date: run python scripts/write_composition.py")
    problems = list(missing(found, catalogue))
    print("\n".join(problems), end="\n" if problems else "")
    return int(bool(problems) or (arguments.check and new != page))


if __name__ == "__main__":
    sys.exit(main())
