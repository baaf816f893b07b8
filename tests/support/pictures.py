"""The pictures of the demo's page in the documentation, and what they were taken of."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "images"
# By name: width and height of the window, and the scheme of colours.
PICTURES = {"demo-desktop-light": (1000, 905, "light"), "demo-phone-dark": (390, 1000, "dark")}
TAKEN_OF = FOLDER / "taken-of.txt"


def sources() -> str:
    """Return a digest of all that decides how the page looks."""
    made = hashlib.sha256()
    templates = ROOT / "demo_project" / "notes" / "templates" / "notes"
    for path in [*sorted(templates.iterdir()), *sorted((ROOT / "demo_project" / "page").glob("*.py"))]:
        made.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return made.hexdigest()
