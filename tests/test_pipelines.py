"""docs/pipelines.md: every command in it runs, and every file in it is what its reader takes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import junitparser
import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from azpg_backend import trust
from azpg_backend.diagnosis import formats
from demo_project.localpg import LocalPostgres
from tests.support.settings import SettingsFor

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "pipelines.md").read_text("utf-8")
Run = Callable[..., subprocess.CompletedProcess[str]]


def block(title: str, language: str) -> str:
    """Return the first block of code of a section."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def parsed(title: str) -> Any:
    return YAML(typ="safe").load(block(title, "yaml"))


@pytest.fixture
def project(tmp_path: Path, server: LocalPostgres, settings_for: SettingsFor, root_file: str) -> Path:
    """A project whose default alias passes; one warns of its CA file, one has a wrong password."""
    whole = tmp_path / "all.pem"
    whole.write_text(Path(root_file).read_text() + Path(trust.BUNDLE).read_text())
    good = settings_for(server, {"sslrootcert": str(whole)})
    (tmp_path / "aliases.json").write_text(
        json.dumps({"default": good, "warned": settings_for(server), "failing": {**good, "PASSWORD": "wrong"}})
    )
    (tmp_path / "shop.py").write_text(
        "import json, os\nSECRET_KEY = 'x'\nUSE_TZ = True\nINSTALLED_APPS = ['azpg_backend']\n"
        "known = json.load(open('aliases.json'))\n"
        "DATABASES = {a: known[a] for a in {'default': 0, **dict.fromkeys(os.environ['ALIASES'].split())}}\n"
    )
    (tmp_path / "manage.py").write_text(
        "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'shop'\n"
        "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    )
    program = tmp_path / "bin" / "python"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def run(project: Path) -> Run:
    """Return a function that runs a line of shell in the project."""

    def sh(line: str, aliases: str = "default") -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "ALIASES": aliases, "PATH": f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        environ["PYTHONPATH"] = str(ROOT)
        line = line.replace("/var/lib/node_exporter", str(project))
        command = ["sh", "-c", line]
        return subprocess.run(
            command, cwd=project, env=environ, capture_output=True, text=True, timeout=100, check=False
        )

    return sh


@pytest.mark.parametrize(
    ("title", "schema"),
    [
        ("GitHub Actions", "github-workflows"),
        pytest.param(
            "Azure DevOps",
            "azure-pipelines",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11),  # noqa: UP036 (the tests run on 3.10 too)
                reason="check-jsonschema for Python 3.10 can't read this schema",
            ),
        ),
    ],
)
def test_the_pipelines_are_what_their_services_take(tmp_path: Path, title: str, schema: str) -> None:
    path = tmp_path / "pipeline.yml"
    path.write_text(block(title, "yaml"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_github_actions(run: Run, project: Path) -> None:
    (line,) = [
        step["run"] for step in parsed("GitHub Actions")["jobs"]["check"]["steps"] if "azpg" in step.get("run", "")
    ]
    done = run(line, "failing")
    assert done.returncode == 1
    assert re.match(r"::error title=failing%3A login.wrong_password::", done.stdout)
    assert junitparser.JUnitXml.fromfile(str(project / "azpg_check.xml")).failures == 1


def test_azure_devops(run: Run, project: Path) -> None:
    steps = parsed("Azure DevOps")["steps"]
    (line,) = [step["script"] for step in steps if "azpg" in step.get("script", "")]
    assert run(line).returncode == 0
    for step in steps[2:]:
        assert (project / (step.get("publish") or step["inputs"]["testResultsFiles"])).exists()


def test_the_init_container(run: Run) -> None:
    (container,) = parsed("An init container")["initContainers"]
    line = " ".join(f"'{each}'" for each in container["command"])
    assert run(line).returncode == 0
    assert run(line.replace("'120'", "'1'"), "failing").returncode == 1


def test_prometheus(run: Run, project: Path) -> None:
    done = run(block("Prometheus", "sh"), "failing")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    families = list(text_string_to_metric_families((project / "azpg_check.prom").read_text()))
    section = PAGE.partition("\n## Prometheus\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(azpg_check_\w+)", section))
    # Nothing breaks here by what is announced.
    assert {family.name for family in families} == documented - {"azpg_check_forecast_break_timestamp_seconds"}
    assert [each.name for each in project.glob("*.prom")] == ["azpg_check.prom"]
    used = set(re.findall(r"azpg_check_\w+", block("Prometheus", "yaml")))
    assert used <= documented


@pytest.mark.parametrize(
    ("alias", "status", "part"), [("default", 0, "ok"), ("warned", 1, "WARN"), ("failing", 2, "FAIL"), ("no", 3, "no")]
)
def test_nagios(run: Run, alias: str, status: int, part: str) -> None:
    line = block("Nagios", "sh").replace(" default ", f" {alias} ")
    done = run(line, alias if alias != "no" else "default")
    assert done.returncode == status, done.stdout
    assert part in done.stdout


@pytest.mark.parametrize(("title", "files"), [("A fleet", ["fleet.html", "fleet.json"]), ("A ticket", ["support.txt"])])
def test_the_others(run: Run, project: Path, title: str, files: list[str]) -> None:
    assert run(block(title, "sh")).returncode == 0
    assert all((project / name).stat().st_size for name in files)


def test_every_format_is_there() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.partition("\n## ")[0], re.MULTILINE) == list(formats.RENDERERS)
