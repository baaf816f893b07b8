"""Run a program of PostgreSQL, such as pg_dump, as an alias connects: over verified TLS, with its login."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections

from azpg_backend import parameters

# As shells say it: the program is not there, or can't be run.
_NOT_FOUND, _NOT_RUNNABLE = 127, 126
_SIGNALS = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT", "SIGUSR1", "SIGUSR2")


class Command(BaseCommand):
    help = (
        "Runs a program that uses libpq, such as pg_dump, pg_restore, psql or pgbench, with the verified TLS and the "
        "login of an entry in DATABASES: manage.py azpg_run default -- pg_dump -Fc -f app.dump. Nothing secret is on "
        "its command line; its exit status and signals are passed on."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("database", help="the alias in DATABASES")
        parser.add_argument("program", nargs="+", help="the program and its arguments, after --")

    def handle(self, *args: Any, **options: Any) -> None:
        alias, words = options["database"], options["program"]
        if alias not in connections:
            raise CommandError(f"DATABASES has no {alias!r}, only {', '.join(sorted(connections))}.")
        try:
            environment = parameters.environment(alias, os.environ)
        except (ImproperlyConfigured, OperationalError) as error:
            problem = str(error)
        else:
            status = _run(words, environment)
            if status:
                sys.exit(status)
            return
        raise CommandError(problem)


def _run(words: list[str], environment: dict[str, str]) -> int:
    """Run a program to its end and return its exit status as a shell would."""
    running: list[subprocess.Popen[bytes]] = []
    with _passing_signals_on(running):
        try:
            running.append(subprocess.Popen(words, env=environment))  # noqa: S603 (the user's own command)
        except (FileNotFoundError, PermissionError) as error:
            # A folder of PATH that this account can't read is a PermissionError too.
            if os.path.dirname(words[0]) and isinstance(error, PermissionError):
                raise CommandError(f"{words[0]!r} can't be run.", returncode=_NOT_RUNNABLE) from None
            raise CommandError(f"There is no program {words[0]!r} on PATH.", returncode=_NOT_FOUND) from None
        status = running[0].wait()
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def _passing_signals_on(running: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Let the program decide what a signal does, if this is the thread that gets them."""

    def pass_on(number: int, frame: object) -> None:
        # A terminal's Ctrl-C reaches the program anyway.
        if running and not (number == signal.SIGINT and sys.stdin.isatty()):
            running[0].send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
