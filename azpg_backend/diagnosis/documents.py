"""Where each code is explained."""

from __future__ import annotations

import re

# Relative to the repository until the documentation has an address of its own.
PAGE = "docs/codes.md"


def address_of(code: str) -> str:
    """Return the section of a code, by the anchor that a heading of Markdown gets."""
    return f"{PAGE}#{re.sub('[^a-z0-9_-]', '', code)}"
