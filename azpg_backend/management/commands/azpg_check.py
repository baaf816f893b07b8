"""``manage.py azpg_check``: test the connection step by step and say what is wrong, why, and what to do."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import connections

from azpg_backend.base import DatabaseWrapper
from azpg_backend.diagnosis import as_json, as_text
from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.progress import Progress, no_progress
from azpg_backend.diagnosis.report import DatabaseReport, Status
from azpg_backend.diagnosis.runner import diagnose

USAGE_ERROR = 2
LEVELS = {"WARNING": Status.WARN, "ERROR": Status.FAIL}

EPILOG = """\
examples:
  manage.py azpg_check                         every alias that uses this engine
  manage.py azpg_check default --format json   one alias, for a script
  manage.py azpg_check --offline               without looking at the official CA downloads
  manage.py azpg_check --ca-file azure.pem     also write the CA roots, for psql or pgAdmin

exit status:
  0  nothing at or above the fail level
  1  something at or above it
  2  wrong usage, such as an unknown alias
"""


class Command(BaseCommand):
    help = (
        "Test the connection to Azure Database for PostgreSQL step by step (settings, CA roots, DNS, TCP, TLS, "
        "certificate, login, session) and say what is wrong, why, and what to do."
    )
    # The settings' own mistakes are among what this command is there to explain.
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("epilog", EPILOG)
        kwargs.setdefault("formatter_class", _HelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("aliases", nargs="*", metavar="ALIAS", help="Aliases of DATABASES; default: all of them.")
        parser.add_argument("--format", choices=["text", "json"], default="text", help="Default: text.")
        parser.add_argument(
            "--offline", action="store_true", help="Don't download the CA roots; those in this package serve."
        )
        parser.add_argument("--ca-file", metavar="PATH", help="Also write the CA roots to PATH, as PEM.")
        parser.add_argument(
            "--update-ca",
            action="store_true",
            help="Add missing roots to an existing CA file (sslrootcert or --ca-file); nothing is ever removed.",
        )
        parser.add_argument(
            "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="Limit for each step. Default: 10."
        )
        parser.add_argument(
            "--fail-level",
            choices=list(LEVELS),
            default="ERROR",
            help="Exit with 1 from this level on. Default: ERROR.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wrappers = [_wrapper(alias) for alias in dict.fromkeys(options["aliases"])] or _own_wrappers()
        roots = Roots(
            offline=options["offline"],
            timeout=options["timeout"],
            update=options["update_ca"],
            export=options["ca_file"],
        )
        reports: list[DatabaseReport] = []
        width = shutil.get_terminal_size().columns
        progress = None
        if options["format"] == "text" and self.stdout.isatty():
            progress = Progress(self._write_at_once, [wrapper.alias for wrapper in wrappers])
        for report in diagnose(wrappers, roots, options["timeout"], progress or no_progress):
            reports.append(report)
            if progress:
                progress.clear()
            if options["format"] == "text":
                self.stdout.write(as_text.render(report, self.style, width) + "\n\n")
        if options["format"] == "json":
            self.stdout.write(as_json.render(reports))
        if any(report.reaches(LEVELS[options["fail_level"]]) for report in reports):
            raise SystemExit(1)

    def _write_at_once(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()


class _HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's order of the options, and the examples' lines kept as they are."""


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return seconds


def _wrapper(alias: str) -> DatabaseWrapper:
    if alias not in connections:
        known = ", ".join(sorted(connections))
        raise CommandError(f"There is no alias {alias!r} in DATABASES (there are: {known}).", returncode=USAGE_ERROR)
    wrapper = connections[alias]
    if not isinstance(wrapper, DatabaseWrapper):
        engine = wrapper.settings_dict["ENGINE"]
        message = f"DATABASES[{alias!r}]['ENGINE'] is {engine!r}; set it to 'azpg_backend' to use this command."
        raise CommandError(message, returncode=USAGE_ERROR)
    return wrapper


def _own_wrappers() -> list[DatabaseWrapper]:
    found = [wrapper for wrapper in map(connections.__getitem__, connections) if isinstance(wrapper, DatabaseWrapper)]
    if not found:
        message = "No alias in DATABASES has 'ENGINE': 'azpg_backend'."
        raise CommandError(message, returncode=USAGE_ERROR)
    return found
