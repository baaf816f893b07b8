"""Where each code is explained."""

from __future__ import annotations

import functools
import importlib.metadata
import re

PACKAGE = "django-azpg"
# Within the repository.
_FOLDER = "docs"


def address_of(code: str) -> str:
    """Return the section of a code, by the anchor that a heading of Markdown gets.

    An URL if the installed package says where its documentation is, else the place within the repository.
    """
    return f"{_folder()}/codes.md#{re.sub('[^a-z0-9_-]', '', code)}"


@functools.cache
def _folder() -> str:
    try:
        links = importlib.metadata.metadata(PACKAGE).get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return _FOLDER
    addresses: dict[str, str] = dict(link.split(", ", 1) for link in links)
    return addresses.get("Documentation", f"{_FOLDER}/").rpartition("/")[0]
