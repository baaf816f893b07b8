"""Run Django's commands on a small application, on this engine and on Django's, and compare what they print.

  python -m tests.django_suite.commands

Each engine has its own PostgreSQL server over verified TLS. Output, errors and exit status have to be the same, but for
how long something took. The exit status is 1 if a command differs.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import django

from tests.support.suite.source import driver
from tests.support.suite.stage import HERE, PLAIN, Ground

SHELF = HERE / "shelf"
COMMANDS = (
    "makemigrations shelf",
    "sqlmigrate shelf 0001",
    "migrate",
    "migrate --database other",
    "migrate shelf zero",
    "migrate --plan",
    "migrate",
    "showmigrations",
    "makemigrations --check",
    "check --database default --database other",
    "createcachetable --dry-run",
    "createcachetable",
    "createcachetable --database other",
    "createsuperuser --noinput --username ada --email ada@example.com",
    "createsuperuser --noinput --username ada --email ada@example.com",
    "loaddata shelf",
    "loaddata absent",
    "dumpdata shelf auth.permission --indent 1",
    "dumpdata shelf --natural-primary --natural-foreign --output dumped.json",
    "inspectdb",
    "inspectdb --include-views --include-partitions shelf_book",
    "sqlflush",
    "sqlsequencereset shelf auth",
    "flush --noinput",
    "dumpdata shelf",
    "loaddata dumped.json",
    "loaddata dumped.json --database other",
    "dumpdata shelf --database other --indent 1",
    "shell --command import(shelf.asynchronous)",
    "dbshell -- --no-psqlrc --tuples-only --command TABLE(shelf_author)",
    "clearsessions",
    "remove_stale_contenttypes --noinput",
    "test",
    "test --parallel 2",
    "test --keepdb",
    "test --keepdb",
    "test --keepdb --parallel 2",
    "test --keepdb --parallel 2 --reverse",
    "test --noinput --shuffle 7",
    "migrate shelf zero --database other",
)


def run_on(ground: Ground, command: str) -> subprocess.Popen[str]:
    # "(" stands for a blank inside an argument.
    arguments = [re.sub(r"\((.*)\)", r" \1", each) for each in command.split()]
    return subprocess.Popen(
        [sys.executable, "-m", "django", *arguments],
        cwd=ground.folder,
        env={
            **ground.environment(),
            "DJANGO_SETTINGS_MODULE": "shelf.settings",
            # sqlflush prints a set.
            "PYTHONHASHSEED": "0",
            # Django's dbshell does not hand hostaddr on.
            "PGHOSTADDR": "127.0.0.1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    """Return a command's exit status, output and errors, without times."""
    out, err = process.communicate()
    text = f"exit status {process.returncode}\n{out}\n-- errors:\n{err}"
    return re.sub(r"\d+\.\d+( ?s\b)|(?<= on )\d{4}-\d\d-\d\d \d\d:\d\d", r"0\1", text)


def compare(grounds: list[Ground]) -> list[str]:
    """Run all commands on both, print a line for each, and return those that differ."""
    different = []
    for command in COMMANDS:
        processes = [run_on(ground, command) for ground in grounds]
        ours, stock = (said(process) for process in processes)
        status = stock.split("\n", 1)[0]
        print(f"| {command} | {status} | {'same' if ours == stock else 'DIFFERENT'} |", flush=True)
        if ours != stock:
            lines = difflib.unified_diff(stock.splitlines(), ours.splitlines(), "Django's", "here", lineterm="", n=1)
            print("\n".join(lines))
            different.append(command)
    return different


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        grounds = [stack.enter_context(Ground(side, folder)) for side in PLAIN]
        for ground in grounds:
            shutil.copytree(SHELF, ground.folder / "shelf", ignore=shutil.ignore_patterns("__pycache__"))
        version = grounds[0].server.sql("SHOW server_version").split()[0]
        print(f"Django {django.__version__}, {driver()}, PostgreSQL {version}\n", flush=True)
        print("| command | on Django's engine | here |\n| --- | --- | --- |")
        different = compare(grounds)
    print(f"\n{len(COMMANDS) - len(different)} of {len(COMMANDS)} commands are the same.")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
