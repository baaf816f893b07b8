"""Check that every link within a built site leads somewhere: ``python scripts/check_site.py FOLDER``."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page offers and what it asks for: its ids, and the addresses of its links."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a":
            self.links.append(given.get("href") or "")


def broken(folder: Path) -> list[str]:
    pages = {path.resolve(): Page(path) for path in folder.glob("*.html")}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            # A page that is missing is sphinx's own to report.
            if parts.scheme or link.endswith(".md"):
                continue
            there = pages.get(target)
            if not target.exists() or (there and parts.fragment and parts.fragment not in there.ids):
                found.append(f"{path.name}: {link}")
    return found


if __name__ == "__main__":
    problems = broken(Path(sys.argv[1]))
    print("\n".join(problems))
    sys.exit(bool(problems))
