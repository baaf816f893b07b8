"""Print a version's part of ``CHANGELOG.md``: ``python scripts/release_notes.py VERSION``.

The version may begin with a v, as its tag does. It has to be the one in ``pyproject.toml``, and to be dated; otherwise
the exit status is 1.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_DATED = re.compile(r"\d{4}-\d\d-\d\d")


class NotReady(Exception):
    """The version can't be released. Says why."""


def notes(version: str, changelog: str, pyproject: str) -> str:
    """Return what changed in a version. Raises NotReady."""
    version = version.removeprefix("v")
    declared = re.findall(r'^version = "(.*)"$', pyproject, re.MULTILINE)
    if declared != [version]:
        raise NotReady(f"pyproject.toml has the version {', '.join(declared) or '(none)'}, not {version}.")
    for part in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        name, _, date = heading.partition(" ")
        if name == version:
            break
    else:
        raise NotReady(f"CHANGELOG.md has no section {version}.")
    if not _DATED.fullmatch(date.strip("()")):
        raise NotReady(f"CHANGELOG.md does not date {version}, but says: {date or '(nothing)'}.")
    if not body.strip():
        raise NotReady(f"CHANGELOG.md says nothing of {version}.")
    return body.strip() + "\n"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        text = notes(sys.argv[1], *((ROOT / name).read_text("utf-8") for name in ("CHANGELOG.md", "pyproject.toml")))
    except NotReady as error:
        print(f"Not ready: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
