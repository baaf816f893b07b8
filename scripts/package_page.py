"""Make README and the links of the package's page on an index.

An index shows README without the repository around it, so relative links lead nowhere there. They become absolute where
AZPG_PROJECT_URL says where the repository is, or the source package that is built from, and plain words where neither
does.
"""

from __future__ import annotations

import os
import re
from email import message_from_string
from email.message import Message
from pathlib import Path

URL_VARIABLE = "AZPG_PROJECT_URL"
_IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")
_CODE = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def repository(root: Path) -> str:
    """Return the URL of the repository, "" if it is not known. root: of a checkout, or of a source package."""
    about = root / "PKG-INFO"
    known = declared(message_from_string(about.read_text("utf-8"))) if about.exists() else {}
    return (os.environ.get(URL_VARIABLE) or known.get("Source", "")).rstrip("/")


def declared(metadata: Message) -> dict[str, str]:
    """Return the links of a package's page by name, as its metadata has them."""
    return dict(each.split(", ", 1) for each in metadata.get_all("Project-URL", []))


def readme(text: str, url: str, version: str) -> str:
    """Return README as an index has to get it.

    url: of the repository, such as https://github.com/NAME/PROJECT; "" if it is not known.
    version: whose tag the links lead to.
    """
    parts = _CODE.split(text if url else _IMAGE.sub("", text))
    return "".join(part if part.startswith("```") else _linked(part, url, version) for part in parts)


def _linked(text: str, url: str, version: str) -> str:
    if not url:
        return _LINK.sub(r"\2", text)
    return _LINK.sub(lambda found: f"{found[1]}[{found[2]}]({_address(found, url, version)})", text)


def _address(found: re.Match[str], url: str, version: str) -> str:
    return f"{url}/{'raw' if found[1] else 'blob'}/v{version}/{found[3]}"


def links(url: str, version: str) -> dict[str, str]:
    """Return ``[project.urls]``: none if it is not known where the repository is."""
    if not url:
        return {}
    return {
        "Homepage": url,
        "Source": url,
        "Documentation": f"{url}/blob/v{version}/docs/index.md",
        "Changelog": f"{url}/blob/v{version}/CHANGELOG.md",
        "Issues": f"{url}/issues",
    }
