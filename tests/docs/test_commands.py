"""The shell commands of the documentation, run as they stand in a user's project."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class

from azpg_backend import trust
from demo_project.localpg import LocalPostgres
from demo_project.localpg.binaries import find_binaries
from tests.support import programs
from tests.support.examples import DOCUMENTS, Example, run_by
from tests.support.official import Official
from tests.support.project import make_project
from tests.support.settings import SettingsFor

# What the pages take for granted.
VARIABLES = {"ADMIN_PASSWORD": "correct-horse-1", "DATABASE_URL": "azpg://app:x@demo.postgres.database.azure.com/app"}
INLINE = sorted(
    {
        (path.name, " ".join(each.split()))
        for path in DOCUMENTS
        for each in re.findall(
            r"`((?:python3? )?(?:az|nox|pip|manage\.py|-m|\S+/\S+\.py) [^`]+)`", path.read_text("utf-8")
        )
    }
)


def sh(text: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-eu", "-c", text]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=150, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("example", run_by("tests/docs/test_commands.py::test_commands"), ids=lambda each: each.name)
def test_commands(
    example: Example,
    tmp_path: Path,
    server: LocalPostgres,
    settings_for: SettingsFor,
    root_file: str,
    official: Official,
) -> None:
    whole = tmp_path / "all.pem"
    whole.write_text(Path(root_file).read_text() + Path(trust.BUNDLE).read_text())
    make_project(tmp_path, default=settings_for(server, {"sslrootcert": str(whole)}))
    with programs.installed(tmp_path, find_binaries()) as environ:
        done = sh(example.text, tmp_path, {**environ, **VARIABLES})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "text"), INLINE, ids=" ".join)
def test_commands_in_sentences(page: str, text: str) -> None:
    """They are only read, not run, and may leave out what the sentence does not need."""
    program, *words = shlex.split(text)
    if words[:1] == ["manage.py"]:
        program, *words = words
    if program == "manage.py":
        name, *arguments = [each for each in words if each not in ("...", "--help")]
        app = get_commands()[name]
        command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
        command.create_parser("manage.py", name).parse_args(arguments)
    elif program == "az":
        programs.az(words, whole=False)
    elif program.startswith("python"):
        programs.checkouts_own(words)
    else:
        programs.PROGRAMS[program](words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "az postgres flexible-server create --nmae app",
        "az postgres flexible-server db create --name app",
        "az postgres server create",
        "pip install django-azpg[psycop]",
        "pip install azpg",
        'psql "host=mydemoserver.postgres.database.azure.com sslmode=require"',
        "psql 'host=a sslmode=verify-full sslrootcert=azure.pem nonsense=1'",
        "nox -s lintt",
        "python3 scripts/run.py dmeo",
        "python3 scripts/run.py demo --server",
        "python manage.py azpg_chek",
        "python -m pytest tests/diagnosiss",
        "python -m benchmarks.nothing",
        "nothing-of-that-name",
    ],
)
def test_a_wrong_command_is_found(text: str, tmp_path: Path) -> None:
    make_project(tmp_path, default={"ENGINE": "azpg_backend"})
    with programs.installed(tmp_path) as environ:
        assert sh(text, tmp_path, dict(environ)).returncode
