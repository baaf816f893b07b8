"""What README and the documentation say can be followed: codes, links, anchors. tests/docs runs the examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from azpg_backend.errors.codes import CHECKS, STEP_CODES
from tests.support.examples import DOCUMENTS, PAGES, ROOT
from tests.support.pictures import PICTURES, TAKEN_OF, sources

# The pages that a reader is promised.
PROMISED = [
    "start",
    "local-development",
    "settings",
    "check",
    "codes",
    "entra",
    "pgbouncer",
    "pooling",
    "replicas",
    "resilience",
    "performance",
    "rotation",
    "security",
    "troubleshooting",
    "alternatives",
    "glossary",
    "changelog",
]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def slug(heading: str) -> str:
    """Return a heading's anchor, as repositories and the site give it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> list[str]:
    return [slug(each) for each in re.findall(r"^#+ (.*)$", without_code(path.read_text("utf-8")), re.MULTILINE)]


def links(path: Path) -> list[tuple[Path, str]]:
    """Return the file and the anchor of every link into this repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text("utf-8")))
    local = [each.partition("#") for each in found if not re.match(r"[a-z]+:", each)]
    return [((path.parent / name).resolve() if name else path, anchor) for name, _, anchor in local]


@pytest.mark.parametrize("name", [*STEP_CODES, *CHECKS])
def test_every_code_has_one_section(name: str) -> None:
    assert anchors(ROOT / "docs" / "codes.md").count(slug(name)) == 1


def test_the_lists_of_codes_are_the_packages_own() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "write_codes.py"), "--check"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in links(path):
        assert target.exists(), f"{named(path)}: {target}"
        assert not anchor or anchor in anchors(target), f"{named(path)}: {named(target)}#{anchor}"


def test_the_pictures_show_the_page_as_it_is() -> None:
    """If this is red: python -m pytest tests/demo/test_browser.py --write-scenarios, and look at them."""
    assert TAKEN_OF.read_text("utf-8").strip() == sources()
    shown = {target.stem for path in DOCUMENTS for target, _ in links(path) if target.suffix == ".png"}
    assert shown == set(PICTURES) == {path.stem for path in TAKEN_OF.parent.glob("*.png")}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_to_elsewhere_are_well_formed(path: Path) -> None:
    """Whether they answer is not asked: that needs a network."""
    text = re.sub(r"`[^`\n]*`", "", without_code(path.read_text("utf-8")))
    bare = re.findall(r"(?<![(<`\"\w])https?://[^\s`)>]+", text)
    assert bare == [], "write [text](address) or <address>, or nothing makes it a link"
    for address in re.findall(r"\]\(([a-z]+:[^)\s]+)\)|<([a-z]+:[^>\s]+)>", text):
        parts = urlsplit("".join(address))
        assert parts.scheme in ("https", "mailto"), address
        assert "." in (parts.hostname or parts.path) and not re.search(r"[\s\"'|]", "".join(address)), address


def test_the_promised_pages_are_there() -> None:
    assert set(PROMISED) <= {path.stem for path in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_page_is_in_the_contents(path: Path) -> None:
    contents = "".join(
        re.findall(r"```\{toctree\}(.*?)```", (ROOT / "docs" / "index.md").read_text("utf-8"), re.DOTALL)
    )
    assert path.stem == "index" or path.stem in contents.split()


def test_readme_is_short_and_its_snippet_runs_in_a_fresh_project() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 150
    assert "python3 scripts/run.py demo " in readme
    assert "python3 scripts/run.py tests " in readme
    snippets = re.findall(r"```python\n(.*?DATABASES.*?)```", readme, re.DOTALL)
    environment = {**os.environ, "DB_PASSWORD": "correct-horse-1", "PYTHONPATH": os.pathsep.join(sys.path)}
    for snippet in snippets:
        subprocess.run([sys.executable, "-W", "ignore", "-c", snippet], env=environment, check=True)
    assert len(snippets) == 2
