"""Runs a package's own tests and our scenario for it, with one engine, and returns what became of each test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.support.packages.catalogue import Package, Suite
from tests.support.packages.lab import HOST, NAMED, OURS, Lab
from tests.support.packages.outcomes import BROKEN, Outcomes

ROOT = Path(__file__).parents[3]
INSIDE = Path(__file__).with_name("inside")
# Seconds for one run, on a machine that is busy.
LIMIT = 1800
_TEST = re.compile(r"(^|/)(test_[^/]*|[^/]*_test)\.py$")
# What this machine's own configuration would bring in.
_FOREIGN = ("PG", "AZURE_", "IDENTITY_", "DJANGO_", "PYTEST_", "COVERAGE")


def source(package: str, cache: Path) -> Path:
    """Return the folder of a package's source, of the very release that is installed, fetching it once."""
    folder = cache / f"{package}-{version(package)}"
    if not folder.exists():
        fetched = cache / "fetched" / package
        shutil.rmtree(fetched, ignore_errors=True)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package]
        subprocess.run([*download, "-d", str(fetched), f"{package}=={version(package)}"], check=True)
        (archive,) = fetched.glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(fetched, filter="data")
        (unpacked,) = (each for each in fetched.iterdir() if each.is_dir())
        unpacked.rename(folder)
    return folder


def suite(package: Package, engine: str, lab: Lab, cache: Path) -> Outcomes:
    """Run the tests of a package's source."""
    if package.suite is None:
        return {}
    described = package.suite
    # A run may leave files behind, which the next must not meet.
    folder = lab.folder / "source"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source(package.name, cache), folder)
    # Where a package has no settings for pytest, or no project for pytest-django, it must not find ours further up.
    (lab.folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    (lab.folder / "manage.py").touch()
    lab.start_over(superuser=described.superuser)
    settings = {
        "settings": described.settings,
        "databases": dict(described.databases),
        "overrides": _filled(dict(described.overrides), engine)
        | ({"TEST_RUNNER": "azpg_runner.Runner"} if described.runner == "django" else {}),
    }
    file = lab.describe(engine, **settings)
    known = json.loads(file.read_text("utf-8"))
    known["database"]["ENGINE"] = _filled(described.engine, engine)
    file.write_text(json.dumps(known), "utf-8")
    path = [INSIDE, *(folder / each for each in described.path)]
    variables = {key: value.format(host=HOST, port=lab.server.port) for key, value in described.variables.items()}
    environment = {"DJANGO_SETTINGS_MODULE": "azpg_lab_settings", **variables}
    environment |= lab.libpq() if described.programs else {}
    if described.before:
        _done(["-m", "django", *described.before], folder / described.folder, path, file, lab, environment)
    return _run(_command(described), folder / described.folder, path, file, lab, environment)


def has_tests(package: Package, cache: Path) -> bool:
    """Whether a package's source distribution has any tests."""
    names = (each.relative_to(cache).as_posix() for each in source(package.name, cache).rglob("*.py"))
    return any(_TEST.search(name) for name in names)


def _command(described: Suite) -> list[str]:
    if described.runner == "django":
        return ["-m", "django", "test", "--noinput", *described.arguments]
    return ["-m", "pytest", "-q", "-p", "azpg_recorder", "-p", "no:cacheprovider", *described.arguments]


def _filled(value: Any, engine: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, engine) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, engine) for each in value]
    return value.format(engine=engine, named=NAMED.get(engine, engine)) if isinstance(value, str) else value


def scenario(package: Package, engine: str, lab: Lab) -> tuple[Outcomes, Outcomes]:
    """Run our own tests of a package; return the outcomes of those for both engines, and of those for ours only."""
    if not package.scenario.exists():
        return {}, {}
    plugins = ("-p", "azpg_recorder", "-p", "pytest_timeout", "-p", "no:cacheprovider")
    settings = ("-c", str(package.scenario.with_name("pytest.ini")), "--confcutdir", str(package.scenario.parent))
    command = ["-m", "pytest", "-q", *plugins, *settings, str(package.scenario)]

    def run(*arguments: str) -> Outcomes:
        lab.start_over()
        alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return _run([*command, *arguments], ROOT, [INSIDE, ROOT], lab.describe(engine), lab, alone)

    return run("-m", "not recipe"), run("-m", "recipe") if engine == OURS else {}


def _run(
    command: list[str], folder: Path, path: list[Path], described: Path, lab: Lab, environment: dict[str, str]
) -> Outcomes:
    written = lab.folder / "outcomes.json"
    written.unlink(missing_ok=True)
    said = _done(command, folder, path, described, lab, {**environment, "AZPG_OUTCOMES": str(written)})
    if not written.exists():
        return {f"{command[1]} did not come to its end: {said[-2000:]}": BROKEN}
    found: Outcomes = json.loads(written.read_text("utf-8"))
    if "-v" in sys.argv or not found.items():
        print(said)
    return found


def _done(
    command: list[str], folder: Path, path: list[Path], described: Path, lab: Lab, environment: dict[str, str]
) -> str:
    """Run Python among the package's files, and return what it says."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    given = {
        **inherited,
        **lab.environment(),
        **environment,
        "HOME": str(lab.folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(lab.programs()), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "AZPG_LAB": str(described),
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=given,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )
    return done.stdout.decode(errors="replace")
