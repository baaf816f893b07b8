"""The programs that the documentation's commands call: ``python -m tests.support.programs NAME ARGUMENTS``.

What can run here runs. A program that needs Azure, a network or this checkout's own environments is played by one that
takes just the words that the real one knows, and fails where the real one would fail.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
DISTRIBUTION = "django-azpg"
# Of Azure CLI 2.91: for each command the options that it needs, and others that the documentation uses.
AZ: Mapping[str, tuple[str, str]] = {
    "account get-access-token": ("", "--resource-type --query --output"),
    "ad app credential reset": ("--id", ""),
    "ad sp show": ("--id", ""),
    "group create": ("--name --location", ""),
    "login": ("", "--tenant --identity"),
    "logout": ("", ""),
    "postgres flexible-server create": (
        "",
        "--resource-group --name --version --tier --sku-name --admin-user --admin-password --public-access --location",
    ),
    "postgres flexible-server db create": ("--resource-group --server-name --name", ""),
    "postgres flexible-server firewall-rule create": (
        "--resource-group --server-name --name",
        "--start-ip-address --end-ip-address",
    ),
    "postgres flexible-server parameter set": ("--resource-group --server-name --name", "--value"),
    "postgres flexible-server restart": ("--resource-group --name", "--failover"),
    "postgres flexible-server show": ("--resource-group --name", "--output"),
    "postgres flexible-server start": ("--resource-group --name", ""),
    "webapp identity assign": ("--resource-group --name", "--identities"),
    "webapp show": ("--resource-group --name", "--query --output"),
}
_SHORT = {"-g": "--resource-group", "-n": "--name", "-o": "--output", "-l": "--location"}
# What the real one prints, as far as the documentation goes on with it.
_SERVER = {
    "id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/shop"
    "/providers/Microsoft.DBforPostgreSQL/flexibleServers/mydemoserver",
    "name": "mydemoserver",
    "fullyQualifiedDomainName": "mydemoserver.postgres.database.azure.com",
    "version": "17",
    "authConfig": {"activeDirectoryAuth": "Enabled", "passwordAuth": "Enabled", "tenantId": "0"},
}


def az(words: Sequence[str], whole: bool = True) -> None:
    """Take a command. whole: whether it has to have all options that it needs."""
    options = [_SHORT.get(word, word) for word in words if word.startswith("-")]
    command = " ".join(words[: next((at for at, word in enumerate(words) if word.startswith("-")), len(words))])
    if command not in AZ:
        sys.exit(f"az has no command {command!r}, or tests/support/programs.py does not know it")
    needed, known = (each.split() for each in AZ[command])
    if whole and (missing := set(needed) - set(options)):
        sys.exit(f"az {command} needs {', '.join(sorted(missing))}")
    if unknown := set(options) - {*needed, *known}:
        sys.exit(f"az {command} has no {', '.join(sorted(unknown))}")
    if repeated := {each for each in options if options.count(each) > 1}:
        sys.exit(f"az {command} takes {', '.join(sorted(repeated))} once")
    if command.endswith("flexible-server show"):
        print(json.dumps(_SERVER))


def pip(words: Sequence[str]) -> None:
    """Take ``install`` of this distribution with extras that it has, of what it needs, or of a tool."""
    from packaging.requirements import Requirement

    project = (ROOT / "pyproject.toml").read_text("utf-8")
    verb, *wanted = (each for each in words if each not in ("--no-deps", "--yes"))
    for each in [each for each in wanted if ">" in each]:
        wanted.remove(each)
        _have(f'"{each}"' in project, f"{each} in pyproject.toml")
    if verb == "uninstall":
        return _have(all(f'"{each}>=' in project for each in wanted), " or ".join(wanted))
    extras = project.partition("[project.optional-dependencies]")[2]
    known = {
        "nox": [],
        "uv": [],
        "pre-commit": [],
        DISTRIBUTION: re.findall(r"^(\w+) = \[", extras.partition("\n[")[0], re.M),
    }
    for each in map(Requirement, wanted):
        if verb != "install" or each.name not in known or each.extras - set(known[each.name]):
            sys.exit(f"pip {verb} {each}: not a package or an extra of this project")


def psql(words: Sequence[str]) -> None:
    """Take one conninfo string, whose keywords libpq knows and which verifies the server."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    (text,) = words
    if is_psycopg3:
        from psycopg.conninfo import conninfo_to_dict as parse
    else:
        from psycopg2.extensions import parse_dsn as parse
    given = parse(text)
    if given.get("sslmode") != "verify-full" or not given.get("sslrootcert"):
        sys.exit("psql would not verify the server")


def django_admin(words: Sequence[str]) -> None:
    os.execv(sys.executable, [sys.executable, "-m", "django", *words])


def nox(words: Sequence[str]) -> None:
    sessions = re.findall(r"^@nox\.session.*\n(?:@.*\n)*def (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.M)
    flag, *named = words
    if flag != "-s" or not named or {each.partition("(")[0] for each in named} - set(sessions):
        sys.exit(f"nox {' '.join(words)}: noxfile.py has {', '.join(sessions)}")


def pre_commit(words: Sequence[str]) -> None:
    if list(words) != ["install"] or not (ROOT / ".pre-commit-config.yaml").exists():
        sys.exit("pre-commit: not as CONTRIBUTING.md says")


def python(words: Sequence[str]) -> None:
    """Run what belongs to the user's project; of this checkout's own programs only read the words."""
    if not checkouts_own(words):
        os.execv(sys.executable, [sys.executable, *words])


def checkouts_own(words: Sequence[str]) -> bool:
    """Read the words of a program of this checkout; return False if it is none."""
    name, *rest = words[1:] if words[0] == "-m" else words
    if words[0] == "scripts/run.py":
        _run_py(rest)
    elif words[0].startswith("scripts/"):
        _have((ROOT / name).exists(), name)
    elif words[0] == "-m" and name.partition(".")[0] in ("benchmarks", "pytest"):
        _have(find_spec(name) is not None, name)
        _look_for_tests(rest)
    else:
        return words[:2] == ["-m", "build"]
    return True


def _look_for_tests(words: Sequence[str]) -> None:
    for each in words:
        _have(not each.startswith("tests/") or (ROOT / each).exists(), each)


def _have(found: bool, what: str) -> None:
    if not found:
        sys.exit(f"there is no {what}")


def _run_py(words: Sequence[str]) -> None:
    import django
    from django.core.management import load_command_class

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    namespace: dict[str, object] = {"__file__": str(ROOT / "scripts" / "run.py"), "__name__": "run"}
    exec((ROOT / "scripts" / "run.py").read_text("utf-8"), namespace)
    tasks = namespace["TASKS"]
    assert isinstance(tasks, dict)
    if not words or words[0] not in tasks:
        sys.exit(f"scripts/run.py has {', '.join(tasks)}")
    if words[0] == "demo":
        load_command_class("demo_project.notes", "demo").create_parser("manage.py", "demo").parse_args(list(words[1:]))
    else:
        _look_for_tests(words)


PROGRAMS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "az": az,
    "django-admin": django_admin,
    "nox": nox,
    "pip": pip,
    "pre-commit": pre_commit,
    "psql": psql,
    "python": python,
    "python3": python,
    ".ci/run": lambda words: sys.exit("it takes no words") if words else None,
}


@contextlib.contextmanager
def installed(folder: Path, *others: Path) -> Iterator[Mapping[str, str]]:
    """Put the programs into a folder, and yield the environment that finds them first, then those of other folders."""
    for name in PROGRAMS:
        path = folder / "bin" / name if "/" not in name else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.support.programs {name} "$@"\n')
        path.chmod(0o755)
    # The tests' own settings are not the user's.
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    yield {
        **kept,
        "PATH": os.pathsep.join([str(folder / "bin"), *map(str, others), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
    }


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
