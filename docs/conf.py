"""The documentation site: ``nox -s docs`` builds it without a warning into ``.nox/site``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "django-azpg"
PYPROJECT = (HERE.parent / "pyproject.toml").read_text("utf-8")
version = release = re.findall(r'^version = "(.*)"', PYPROJECT, re.MULTILINE)[0]

extensions = ["myst_parser", "anchors"]
exclude_patterns = ["_extensions"]
# Headings get the anchors that they have in a repository's view of the same file.
myst_heading_anchors = 3
nitpicky = True
# Blocks without a language are for a shell, or what a program prints.
highlight_language = "text"

html_theme = "furo"
html_title = f"django-azpg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# Options such as --update-ca, and quotation marks to be copied, stay as they are written.
smartquotes = False
