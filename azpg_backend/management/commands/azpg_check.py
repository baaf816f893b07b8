"""``manage.py azpg_check``: test the connection step by step."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from azpg_backend.base import DatabaseWrapper
from azpg_backend.diagnosis import as_json, as_text, formats, selection
from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.progress import Progress, no_progress
from azpg_backend.diagnosis.report import DatabaseReport, Status
from azpg_backend.diagnosis.runner import Diagnosis
from azpg_backend.diagnosis.selection import Selection
from azpg_backend.errors.codes import AZURE, STEP_CODES
from azpg_backend.management import outputs
from azpg_backend.management.examples import CommandWithExamples
from azpg_backend.management.outputs import Output, OutputError
from azpg_backend.trust import announcements
from azpg_backend.trust.announcements import Announcements

USAGE_ERROR = 2
# As a shell reports a program that SIGINT ended.
INTERRUPTED = 130
LEVELS = {"WARNING": Status.WARN, "ERROR": Status.FAIL}
# Seconds between two rounds of --wait.
PAUSE = 1.0

EPILOG = """\
examples:
  manage.py azpg_check                         every alias that uses this engine
  manage.py azpg_check default --format json   one alias, for a script
  manage.py azpg_check --offline               without looking at the official CA downloads
  manage.py azpg_check --ca-file azure.pem     also write the CA roots, for psql or pgAdmin
  manage.py azpg_check --wait 120              until the server is ready, as in an init container
  manage.py azpg_check --format json --output a.json --format junit --output b.xml
                                               two files, and text on the terminal
  manage.py azpg_check --ignore ca.root_missing --fail-level WARNING
  manage.py azpg_check --azure                 also ask Azure: state, firewall, parameters, storage
  manage.py azpg_check --forecast              which alias breaks on which day, and why
  manage.py azpg_check --list-codes            every code, and what it means

exit status:
  0    nothing at or above the fail level
  1    something at or above it
  2    wrong usage, such as an unknown alias, or a report that can't be written
  130  interrupted (Ctrl-C); what was known until then is printed
"""


class Command(CommandWithExamples):
    epilog = EPILOG
    help = (
        "Test the connection to Azure Database for PostgreSQL step by step (settings, CA roots, DNS, TCP, TLS, "
        "certificate, login, session) and say what is wrong, why, and what to do."
    )
    # The settings' own mistakes are among what this command is there to explain.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("aliases", nargs="*", metavar="ALIAS", help="Aliases of DATABASES; default: all of them.")
        outputs.add_arguments(parser, _path)
        add("--azure", action="store_true", help="Also ask Azure itself, read-only (extra [azure], role Reader).")
        add("--list-codes", action="store_true", help="Print every code with its meaning, and check nothing.")
        _add_files(parser)
        _add_times(parser)
        _add_forecast(parser)
        _add_selection(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if getattr(self.stdout, "_out", self.stdout) is None:
            raise CommandError("The report can't be written: standard output is closed.", returncode=USAGE_ERROR)
        if options["list_codes"]:
            self._list_codes(options)
            return
        check = _Check(self, options, _wrappers(options["aliases"]), _outputs(options))
        try:
            try:
                reports = check.run()
            except KeyboardInterrupt:
                check.interrupted()
                raise SystemExit(INTERRUPTED) from None
            finally:
                self.stdout.flush()
        except BrokenPipeError:
            # Whoever read the report, such as head, has enough of it.
            _forget_output()
            raise SystemExit(1) from None
        except OSError as error:
            _forget_output()
            raise CommandError(f"The report can't be written: {error.strerror}.", returncode=USAGE_ERROR) from None
        if any(report.reaches(LEVELS[options["fail_level"]]) for report in reports):
            raise SystemExit(1)

    def _list_codes(self, options: dict[str, Any]) -> None:
        useless = ("aliases", "only", "ignore", "wait", "ca_file", "update_ca", "forecast", "announcements")
        given = [flag for flag in useless if options[flag]]
        if given:
            flag = "ALIAS" if given[0] == "aliases" else f"--{given[0].replace('_', '-')}"
            raise CommandError(f"--list-codes checks nothing: leave out {flag}.", returncode=USAGE_ERROR)
        (asked, *more) = _outputs(options)
        if more or asked.path or asked.format not in {"text", "json"}:
            raise CommandError("--list-codes goes to standard output, as text or json.", returncode=USAGE_ERROR)
        if asked.format == "json":
            rows = [{"code": code, "summary": text, "docs": address_of(code)} for code, text in STEP_CODES.items()]
            self.write(json.dumps({"version": as_json.VERSION, "codes": rows}, indent=2))
            return
        width = max(map(len, STEP_CODES))
        for code, text in STEP_CODES.items():
            self.write(f"{code:<{width}}  {text}")

    def write(self, text: str, ending: str = "\n") -> None:
        """Print, with escapes for the characters that the output's encoding has not."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        self.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding), ending=ending)

    def write_at_once(self, text: str) -> None:
        self.write(text, ending="")
        self.stdout.flush()


class _Check:
    """One run of the command: diagnose, again while there is time for it, and print.

    out: the command, for its output and style.
    asked: the reports to make, one of them for standard output.
    """

    def __init__(
        self, out: Command, options: dict[str, Any], wrappers: Sequence[DatabaseWrapper], asked: Sequence[Output]
    ) -> None:
        self._out = out
        self._asked = asked
        self._shown = next(each.format for each in asked if not each.path)
        self._options = options
        self._wrappers = wrappers
        self._level = LEVELS[options["fail_level"]]
        self._selection = _selection(options)
        self._announcements = _announcements(options)
        self._text = self._shown == "text"
        self._started = time.monotonic()
        self._width = shutil.get_terminal_size().columns
        self._roots = Roots(
            offline=options["offline"],
            timeout=options["timeout"],
            update=options["update_ca"],
            export=options["ca_file"],
        )
        self._progress: Progress | None = None
        self._diagnosis: Diagnosis | None = None
        self._printed: set[str] = set()

    def run(self) -> list[DatabaseReport]:
        """Check, print, and return the reports."""
        end = self._started + self._options["wait"]
        while True:
            self._diagnosis = self._begin()
            self._diagnosis.start()
            reports = []
            for report in self._diagnosis.reports():
                reports.append(report)
                if not self._options["wait"]:
                    self._print(report)
            reports = self._diagnosis.in_order(reports)
            if not self._is_worth_waiting(reports, end):
                break
            self._clear()
            time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))
        self._print_rest(reports)
        self._finish(reports)
        return reports

    def interrupted(self) -> None:
        """Print what is known so far."""
        reports = self._diagnosis.known_so_far() if self._diagnosis else []
        self._clear()
        self._print_rest(reports)
        self._finish(reports, interrupted=True)

    def _print_rest(self, reports: Sequence[DatabaseReport]) -> None:
        for report in reports:
            if report.alias not in self._printed:
                self._print(report)

    def _begin(self) -> Diagnosis:
        if self._text and self._options["verbosity"] and self._out.stdout.isatty():
            aliases = [wrapper.alias for wrapper in self._wrappers]
            self._progress = Progress(self._out.write_at_once, aliases, azure=self._selection.azure)
        progress = self._progress or no_progress
        timeout = self._options["timeout"]
        return Diagnosis(self._wrappers, self._roots, timeout, progress, self._selection, self._announcements)

    def _is_worth_waiting(self, reports: Sequence[DatabaseReport], end: float) -> bool:
        failing = [report for report in reports if report.reaches(self._level)]
        # Settings don't mend themselves while this process runs.
        hopeless = failing and all(report.steps[0].status is Status.FAIL for report in failing)
        return bool(failing) and not hopeless and time.monotonic() < end

    def _clear(self) -> None:
        if self._progress:
            self._progress.clear()

    def _print(self, report: DatabaseReport) -> None:
        self._printed.add(report.alias)
        if not self._text:
            return
        self._clear()
        if self._options["verbosity"] == 0:
            self._out.write_at_once(as_text.line(report, self._out.style) + "\n")
            return
        every = self._options["verbosity"] > 1
        text = as_text.render(report, self._out.style, self._width, every_duration=every)
        self._out.write_at_once(text + "\n\n")

    def _finish(self, reports: Sequence[DatabaseReport], *, interrupted: bool = False) -> None:
        outcome = Outcome(reports, self._level, time.monotonic() - self._started, interrupted)
        if not self._text:
            self._out.write(formats.render(self._shown, outcome), ending="")
        elif len(reports) > 1 and self._options["verbosity"]:
            self._out.write(as_text.summary(reports, outcome.seconds, self._out.style))
        if self._text and interrupted:
            self._out.write(as_text.INTERRUPTED)
        if failed := outputs.write(self._asked, outcome):
            raise CommandError(" ".join(failed), returncode=USAGE_ERROR)


def _add_files(parser: CommandParser) -> None:
    add = parser.add_argument
    add("--offline", action="store_true", help="Don't download the CA roots; use those in this package.")
    add("--ca-file", metavar="PATH", type=_path, help="Also write the CA roots to PATH, as PEM.")
    add(
        "--update-ca",
        action="store_true",
        help="Add missing roots to an existing CA file (sslrootcert or --ca-file); nothing is ever removed.",
    )


def _add_times(parser: CommandParser) -> None:
    add = parser.add_argument
    add("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="Limit for each step. Default: 10.")
    add(
        "--wait",
        type=_waiting,
        default=0.0,
        metavar="SECONDS",
        help="Check again until every alias passes or this time is over. Default: 0, check once.",
    )


def _add_forecast(parser: CommandParser) -> None:
    add = parser.add_argument
    add(
        "--forecast",
        action="store_true",
        help="Say for each alias until when it works, or on which day it breaks, by all that has been announced.",
    )
    add("--announcements", metavar="PATH", type=_path, help="A newer list of changes for --forecast, as JSON.")


def _add_selection(parser: CommandParser) -> None:
    for flag, text in (
        ("--only", "Only these steps or codes count. The steps that they need run as well."),
        ("--ignore", "These steps or codes never count."),
    ):
        parser.add_argument(flag, nargs="+", action="extend", default=[], metavar="CODE|STEP", help=text)
    levels = list(LEVELS)
    parser.add_argument(
        "--fail-level", choices=levels, default="ERROR", help="Exit with 1 from this level on. Default: ERROR."
    )


def _seconds(text: str) -> float:
    return _number(text, 0.1)


def _waiting(text: str) -> float:
    return _number(text, 0.0)


def _number(text: str, smallest: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not smallest <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {smallest:g} to 3600")
    return seconds


def _path(text: str) -> str:
    if not text.strip() or "\0" in text or "\n" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not the path of a file")
    if text.startswith("~"):
        # A shell replaces ~ only at the beginning of a word, not in --ca-file=~/azure.pem.
        raise argparse.ArgumentTypeError(
            f"{text!r} would be a folder named {text.partition(os.sep)[0]!r}: write {os.path.expanduser(text)!r}"
        )
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: add the name of a file")
    return text


def _outputs(options: dict[str, Any]) -> list[Output]:
    try:
        return outputs.asked_for(options["format"])
    except OutputError as error:
        raise CommandError(str(error), returncode=USAGE_ERROR) from None


def _announcements(options: dict[str, Any]) -> Announcements | None:
    """Return the list for a forecast, or None without --forecast. Raises CommandError."""
    if not options["forecast"]:
        if options["announcements"]:
            raise CommandError("--announcements is of no use without --forecast.", returncode=USAGE_ERROR)
        return None
    if options["only"] and not any(name.partition(".")[0] == "certificate" for name in options["only"]):
        raise CommandError("--forecast is the certificate step's: add it to --only.", returncode=USAGE_ERROR)
    try:
        return announcements.read(options["announcements"] or announcements.PACKAGED)
    except announcements.UnreadableList as error:
        raise CommandError(f"--announcements: {error}.", returncode=USAGE_ERROR) from None


def _selection(options: dict[str, Any]) -> Selection:
    for flag in ("only", "ignore"):
        if strange := selection.unknown(options[flag]):
            raise CommandError(
                f"--{flag}: {strange[0]!r} is neither a step nor a code. See manage.py azpg_check --list-codes.",
                returncode=USAGE_ERROR,
            )
    only = frozenset(options["only"])
    if not options["azure"] and any(name.partition(".")[0] == AZURE for name in only):
        raise CommandError("--only azure needs --azure.", returncode=USAGE_ERROR)
    return Selection(only, frozenset(options["ignore"]), options["azure"])


def _wrappers(aliases: Sequence[str]) -> list[DatabaseWrapper]:
    return [_wrapper(alias) for alias in dict.fromkeys(aliases)] or _own_wrappers()


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
        engines = ", ".join(f"{alias} has {connections[alias].settings_dict['ENGINE']!r}" for alias in connections)
        message = (
            f"There is nothing to check: no alias in DATABASES has 'ENGINE': 'azpg_backend' ({engines}). That is right "
            "for a host in plaintext_hosts that is not this machine; elsewhere, set ENGINE."
        )
        raise CommandError(message, returncode=USAGE_ERROR)
    return found


def _forget_output() -> None:
    """Point standard output nowhere, or the interpreter complains when it flushes what nobody reads."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
