"""What a release is made of: its page on an index, its notes, and the workflows that build and publish it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.examples import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGE = runpy.run_path(str(ROOT / "scripts" / "package_page.py"))
CHECK = runpy.run_path(str(ROOT / "scripts" / "check_package.py"))
NOTES = runpy.run_path(str(ROOT / "scripts" / "release_notes.py"))
CHANGELOG = "# Changelog\n\n## 2.0.0 (2027-01-31)\n\n- One.\n\n## 1.0.0 (2026-11-25, not released yet)\n\n- Two.\n"
README = (
    "![A picture](docs/a.png)\n\nSee [start](docs/start.md#x), [site](https://example.org) and [below](#below).\n\n"
    "```\n[not](a/link.md)\n```\n"
)


def workflow(name: str) -> Any:
    (path,) = (each for each in WORKFLOWS if each.stem == name)
    return YAML(typ="safe").load(path.read_text("utf-8"))


def test_the_page_where_the_repository_is_known() -> None:
    assert PAGE["readme"](README, "https://example.org/a/b", "1.2.3") == (
        "![A picture](https://example.org/a/b/raw/v1.2.3/docs/a.png)\n\n"
        "See [start](https://example.org/a/b/blob/v1.2.3/docs/start.md#x), [site](https://example.org) and "
        "[below](#below).\n\n```\n[not](a/link.md)\n```\n"
    )
    assert set(PAGE["links"]("https://example.org/a/b", "1.2.3")) == {
        "Homepage",
        "Source",
        "Documentation",
        "Changelog",
        "Issues",
    }


def test_the_page_where_it_is_not() -> None:
    said = "See start, [site](https://example.org) and [below](#below).\n\n```\n[not](a/link.md)\n```\n"
    assert PAGE["readme"](README, "", "1.2.3") == said
    assert PAGE["links"]("", "1.2.3") == {}


@pytest.mark.parametrize(
    ("given", "packed", "found"),
    [
        ("", "", ""),
        ("https://example.org/a/b/", "", "https://example.org/a/b"),
        ("", "https://example.org/c", "https://example.org/c"),
        ("https://example.org/a/b", "https://example.org/c", "https://example.org/a/b"),
    ],
)
def test_where_the_repository_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, packed: str, found: str
) -> None:
    """A source package remembers it for those who build from that, without the variable."""
    monkeypatch.setenv(PAGE["URL_VARIABLE"], given)
    if packed:
        links = "".join(f"Project-URL: {name}, {at}\n" for name, at in PAGE["links"](packed, "1.2.3").items())
        (tmp_path / "PKG-INFO").write_text(f"Metadata-Version: 2.4\n{links}\nA page: of text\n")
    assert PAGE["repository"](tmp_path) == found


def test_readme_has_no_link_that_stays_relative() -> None:
    page = PAGE["readme"]((ROOT / "README.md").read_text("utf-8"), "https://example.org/a/b", "1.2.3")
    assert page.count("https://example.org/a/b/blob/v1.2.3/docs/") > 20
    assert re.findall(r"\]\((?!https:)[^)]*\)", page) == []


@pytest.mark.parametrize("url", ["", "https://example.org/a/b"])
def test_a_wheel_has_the_links_of_the_repository_that_it_was_built_for(tmp_path: Path, url: str) -> None:
    info = "django_azpg-1.2.3.dist-info"
    links = "".join(f"Project-URL: {name}, {at}\n" for name, at in PAGE["links"](url, "1.2.3").items())
    path = tmp_path / "django_azpg-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Name: django-azpg\nVersion: 1.2.3\n{links}\npip install django-azpg\n")
        for each in (*CHECK["NEEDED"], f"{info}/licenses/LICENSE"):
            wheel.writestr(each, "")
    assert CHECK["of_wheel"](path, url) == []
    (found,) = CHECK["of_wheel"](path, "https://example.org/another")
    assert "its links are" in found


def test_notes() -> None:
    assert NOTES["notes"]("v2.0.0", CHANGELOG, 'version = "2.0.0"\n') == "- One.\n"


@pytest.mark.parametrize(
    ("version", "declared", "why"),
    [
        ("2.0.0", "1.0.0", "pyproject.toml has the version 1.0.0"),
        ("1.0.0", "1.0.0", "does not date 1.0.0, but says: .2026-11-25, not released yet"),
        ("3.0.0", "3.0.0", "no section 3.0.0"),
    ],
)
def test_what_is_not_ready(version: str, declared: str, why: str) -> None:
    with pytest.raises(NOTES["NotReady"], match=why):
        NOTES["notes"](version, CHANGELOG, f'version = "{declared}"\n')


def test_notes_as_the_workflow_asks_for_them() -> None:
    """Either they are printed, or the reason why not is, and the tag is not published."""
    (version,) = re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    command = [sys.executable, str(ROOT / "scripts" / "release_notes.py"), f"v{version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    undated = "not released yet" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert (done.returncode, bool(done.stdout), bool(done.stderr)) == (
        (1, False, True) if undated else (0, True, False)
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_what_its_service_takes(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "secrets." not in path.read_text("utf-8")


def test_continuous_integration_is_everything() -> None:
    (job,) = workflow("ci")["jobs"].values()
    assert job["steps"][-1]["run"] == ".ci/run"
    assert (ROOT / ".ci" / "run").exists()


def test_only_one_job_may_publish() -> None:
    """And it runs nothing but the upload, in the environment that the index trusts."""
    made = workflow("release")
    assert made["permissions"] == {}
    publish = made["jobs"]["publish"]
    assert (publish["environment"], publish["permissions"]) == ("pypi", {"id-token": "write"})
    assert [each["uses"].partition("@")[0] for each in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert [name for name, job in made["jobs"].items() if "environment" in job] == ["publish"]


def test_what_the_build_runs_is_there() -> None:
    lines = [each["run"] for each in workflow("release")["jobs"]["build"]["steps"] if "run" in each]
    scripts = re.findall(r"scripts/\w+\.py", "\n".join(lines))
    assert scripts == ["scripts/release_notes.py", "scripts/check_package.py"]
    assert all((ROOT / each).exists() for each in scripts)
    assert workflow("release")["jobs"]["build"]["env"].keys() == {PAGE["URL_VARIABLE"]}
