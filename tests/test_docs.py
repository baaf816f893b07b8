"""What README and the documentation say can be followed: codes, links, anchors, examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.http import HttpRequest, HttpResponse

from azpg_backend.errors.codes import CHECKS, STEP_CODES
from azpg_backend.plan.decision import decide

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [*PAGES, *sorted(ROOT.glob("*.md"))]
AZURE = {"ENGINE": "azpg_backend", "NAME": "app", "USER": "me", "HOST": "mydemoserver.postgres.database.azure.com"}


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


class Example(NamedTuple):
    """A block of Python. name: its file and line."""

    name: str
    text: str

    @property
    def is_fragment(self) -> bool:
        """Whether it shows some keys of settings, and is no program."""
        return self.text.lstrip().startswith('"')


def examples() -> Iterator[Example]:
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for each in re.finditer(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            yield Example(f"{named(path)}:{text.count(chr(10), 0, each.start()) + 1}", textwrap.dedent(each[1]))


EXAMPLES = list(examples())
# On the page of codes, the settings are meant to be wrong.
GOOD = [each for each in EXAMPLES if not each.name.startswith(str(Path("docs", "codes.md")))]


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


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_page_is_in_the_contents(path: Path) -> None:
    contents = "".join(
        re.findall(r"```\{toctree\}(.*?)```", (ROOT / "docs" / "index.md").read_text("utf-8"), re.DOTALL)
    )
    assert path.stem == "index" or path.stem in contents.split()


def settings_of(example: Example, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Run an example as settings.py, or put a fragment of settings into good ones."""
    for variable in re.findall(r'environ\["(\w+)"\]', example.text):
        monkeypatch.setenv(variable, "correct-horse-1")
    if example.is_fragment:
        # The settings of this repository's own documentation.
        return {"default": {**AZURE, **eval("{" + example.text + "\n}", {"os": os})}}  # noqa: S307
    module: dict[str, Any] = {}
    exec(compile(example.text, "settings.py", "exec"), module)  # noqa: S102
    found: dict[str, dict[str, Any]] = module["DATABASES"]
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_examples_are_python(example: Example) -> None:
    text, mode = ("{" + example.text + "\n}", "eval") if example.is_fragment else (example.text, "exec")
    compile(text, example.name, mode)


@pytest.mark.parametrize(
    "example",
    # What from_environment() gives is tested in tests/from_environment, in the environments that its pages show.
    [each for each in GOOD if each.is_fragment or ("DATABASES =" in each.text and "from_env" not in each.text)],
    ids=lambda each: each.name,
)
def test_settings_in_examples_are_good(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    for alias, settings in settings_of(example, monkeypatch).items():
        options = dict(settings.get("OPTIONS", {}))
        if not is_psycopg3:
            # These examples say that they need psycopg 3.
            options.pop("pool", None)
        plan = decide(alias, {**settings, "OPTIONS": options}, environ={})
        assert (plan.errors if example.is_fragment else list(plan.problems)) == []


def test_readme_is_short_and_its_snippet_runs_in_a_fresh_project() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 150
    assert "python3 scripts/run.py demo " in readme
    assert "python3 scripts/run.py tests " in readme
    (snippet,) = re.findall(r"```python\n(.*?DATABASES.*?)```", readme, re.DOTALL)
    environment = {**os.environ, "DB_PASSWORD": "correct-horse-1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", snippet], env=environment, check=True)


def test_whoever_wrote_reads_from_the_primary() -> None:
    """The router of docs/replicas.md, and its middleware, as they stand there."""
    (recipe,) = (each.text for each in EXAMPLES if "def read_your_writes" in each.text)
    module: dict[str, Any] = {}
    exec(compile(recipe, "routers.py", "exec"), module)  # noqa: S102
    router = module["ReplicaRouter"]()
    read: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        read.append(router.db_for_read(None))
        if request.method == "POST":
            router.db_for_write(None)
            read.append(router.db_for_read(None))
        return HttpResponse()

    def visit(method: str, cookies: dict[str, str]) -> HttpResponse:
        response: HttpResponse = module["read_your_writes"](view)(SimpleNamespace(method=method, COOKIES=cookies))
        return response

    assert not visit("GET", {}).cookies
    until = visit("POST", {}).cookies["wrote_until"].value
    assert not visit("GET", {"wrote_until": until}).cookies
    visit("GET", {"wrote_until": "1"})
    assert read == ["replica", "replica", "default", "default", "replica"]
