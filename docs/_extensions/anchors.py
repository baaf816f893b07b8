"""Give each heading the id that a repository's view of the page gives it, so that both have the same addresses."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def add_ids(app: Sphinx, document: nodes.document) -> None:
    for section in document.findall(nodes.section):
        name = slug(section[0].astext())
        if name not in document.ids:
            section["ids"].insert(0, name)
            document.ids[name] = section


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", add_ids)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
