"""``manage.py azpg_check``: test the connection step by step."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import time
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.color import Style
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
from azpg_backend.errors.codes import ALL_STEPS, AZURE, STEP_CODES
from azpg_backend.errors.redact import printable
from azpg_backend.management import outputs, signals
from azpg_backend.management.examples import CommandWithExamples
from azpg_backend.management.numbers import seconds, seconds_or_none
from azpg_backend.management.outputs import Output, OutputError
from azpg_backend.management.printing import Printer
from azpg_backend.trust import announcements
from azpg_backend.trust.announcements import Announcements

USAGE_ERROR = 2
LEVELS = {"WARNING": Status.WARN, "ERROR": Status.FAIL}
# Seconds between two rounds of --wait.
PAUSE = 1.0
# The code that only a forecast gives.
_FORECAST = "certificate.will_break"
# Characters of a list of aliases; more would bury the message.
_MOST_SHOWN = 500
# Seconds that the steps of its last round have at least.
_LAST_LOOK = 1.0
_NOT_FOR_CODES = (
    "aliases",
    "only",
    "ignore",
    "wait",
    "ca_file",
    "update_ca",
    "forecast",
    "announcements",
    "azure",
)

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
  130  interrupted (Ctrl-C); 143 by SIGTERM. What was known until then is printed, and written to files
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
        printer = Printer(self.stdout)
        asked = _outputs(options)
        if not outputs.is_files_only(options["format"]):
            printer.refuse_closed()
        if options["list_codes"]:
            printer.print(_list_of_codes(options, asked))
            printer.refuse_loss()
            return
        check = _Check(printer, self.style, options, _wrappers(options["aliases"]), asked)
        try:
            with signals.raised():
                try:
                    reports = check.run()
                except KeyboardInterrupt as error:
                    check.interrupted()
                    raise SystemExit(signals.status_of(error)) from None
        except KeyboardInterrupt as error:
            # Somebody could not wait for what is known so far.
            raise SystemExit(signals.status_of(error)) from None
        printer.refuse_loss()
        if any(report.reaches(LEVELS[options["fail_level"]]) for report in reports):
            raise SystemExit(1)


class _Check:
    """One run of the command: diagnose, again while there is time for it, and print.

    style: Django's, coloured or not.
    asked: the reports to make, one of them for standard output.
    """

    def __init__(
        self,
        printer: Printer,
        style: Style,
        options: dict[str, Any],
        wrappers: Sequence[DatabaseWrapper],
        asked: Sequence[Output],
    ) -> None:
        self._printer = printer
        self._style = style
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
        self._finished = False

    def run(self) -> list[DatabaseReport]:
        """Check, print, and return the reports."""
        end = self._started + self._options["wait"]
        timeout = self._options["timeout"]
        while True:
            self._diagnosis = self._begin(timeout)
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
            # A step of a late round waits no longer than the whole would.
            timeout = min(self._options["timeout"], max(_LAST_LOOK, end - time.monotonic()))
        self._print_rest(reports)
        self._finish(reports)
        return reports

    def interrupted(self) -> None:
        """Print what is known so far."""
        if self._finished:
            return
        reports = self._diagnosis.known_so_far() if self._diagnosis else []
        self._clear()
        self._print_rest(reports)
        self._finish(reports, interrupted=True)

    def _print_rest(self, reports: Sequence[DatabaseReport]) -> None:
        for report in reports:
            if report.alias not in self._printed:
                self._print(report)

    def _begin(self, timeout: float) -> Diagnosis:
        if self._text and self._options["verbosity"] and self._printer.is_terminal:
            aliases = [wrapper.alias for wrapper in self._wrappers]
            self._progress = Progress(self._printer.print, aliases, azure=self._selection.azure)
        progress = self._progress or no_progress
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
            self._printer.print(as_text.line(report, self._style) + "\n")
            return
        every = self._options["verbosity"] > 1
        text = as_text.render(report, self._style, self._width, every_duration=every)
        self._printer.print(text + "\n\n")

    def _finish(self, reports: Sequence[DatabaseReport], *, interrupted: bool = False) -> None:
        outcome = Outcome(reports, self._level, time.monotonic() - self._started, interrupted)
        # Files first: whoever reads the rest may be slow, or have enough of it.
        failed = outputs.write(self._asked, outcome)
        self._finished = True
        if not self._text:
            self._printer.print_document(formats.render(self._shown, outcome))
        elif len(reports) > 1 and self._options["verbosity"]:
            self._printer.print(as_text.summary(reports, outcome.seconds, self._style) + "\n")
        if self._text and interrupted:
            self._printer.print(as_text.INTERRUPTED + "\n")
        if failed:
            raise CommandError(" ".join(failed), returncode=USAGE_ERROR)


def _add_files(parser: CommandParser) -> None:
    add = parser.add_argument
    add(
        "--offline",
        action="store_true",
        help="Don't download the CA roots; use those in this package, also for a file that sslrootcert names and that "
        "does not exist, which is written.",
    )
    add("--ca-file", metavar="PATH", type=_path, help="Also write the CA roots to PATH, as PEM.")
    add(
        "--update-ca",
        action="store_true",
        help="Add missing roots to an existing CA file (sslrootcert or --ca-file); nothing is ever removed.",
    )


def _add_times(parser: CommandParser) -> None:
    add = parser.add_argument
    add("--timeout", type=seconds, default=10.0, metavar="SECONDS", help="Limit for each step. Default: 10.")
    add(
        "--wait",
        type=seconds_or_none,
        default=0.0,
        metavar="SECONDS",
        help="Check again until every alias passes or this time is over; a step of a late round gets what is left of "
        "it, and a second at least. Default: 0, check once.",
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
        parser.add_argument(
            flag, nargs="+", action=_Names, default=[], metavar="CODE|STEP", help=f"{text} Commas separate them too."
        )
    levels = list(LEVELS)
    parser.add_argument(
        "--fail-level", choices=levels, default="ERROR", help="Exit with 1 from this level on. Default: ERROR."
    )


class _Names(argparse.Action):
    """Steps and codes, from one argument or several."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        names = [name.strip() for value in values for name in value.split(",")]
        if not any(names):
            parser.error(f"argument {option}: {values[0]!r} names no step or code")
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *filter(None, names)])


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
    others = {flag: options[flag.strip("-").replace("-", "_")] for flag in ("--ca-file", "--announcements")}
    try:
        return outputs.asked_for(options["format"], others)
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
    """Return what counts. Raises CommandError for what can't be meant: a check of nothing would always pass."""
    for flag in ("only", "ignore"):
        if strange := selection.unknown(options[flag]):
            hint = _meant(flag, strange[0])
            raise CommandError(
                f"--{flag}: {strange[0]!r} is neither a step nor a code.{hint} See manage.py azpg_check --list-codes.",
                returncode=USAGE_ERROR,
            )
    chosen = Selection(frozenset(options["only"]), frozenset(options["ignore"]), options["azure"])
    steps = {name.partition(".")[0] for name in chosen.only}
    if not options["azure"] and AZURE in steps:
        raise CommandError("--only azure needs --azure.", returncode=USAGE_ERROR)
    if options["azure"] and steps and AZURE not in steps:
        raise CommandError("--azure is the azure step's: add it to --only.", returncode=USAGE_ERROR)
    if chosen.only == {_FORECAST} and not options["forecast"]:
        raise CommandError(f"--only {_FORECAST} needs --forecast.", returncode=USAGE_ERROR)
    if not chosen.counting:
        raise CommandError("--ignore leaves nothing that counts: the check would always pass.", returncode=USAGE_ERROR)
    return chosen


def _meant(flag: str, name: str) -> str:
    """Return a sentence for what was probably meant, or ""."""
    if name in connections:
        return f" It is an alias: write it before --{flag}."
    close = difflib.get_close_matches(name, [*ALL_STEPS, *STEP_CODES], 1)
    return f" Did you mean {close[0]}?" if close else ""


def _wrappers(aliases: Sequence[str]) -> list[DatabaseWrapper]:
    return [_wrapper(alias) for alias in dict.fromkeys(aliases)] or _own_wrappers()


def _wrapper(alias: str) -> DatabaseWrapper:
    if alias not in connections:
        known = printable(", ".join(sorted(connections)), _MOST_SHOWN + 1)
        close = difflib.get_close_matches(alias, list(connections), 1)
        guess = f" Did you mean {printable(close[0])}?" if close else ""
        shown = known if len(known) <= _MOST_SHOWN else f"{len(list(connections))} others"
        raise CommandError(
            f"There is no alias {alias!r} in DATABASES (there are: {shown}).{guess}", returncode=USAGE_ERROR
        )
    wrapper = connections[alias]
    if not isinstance(wrapper, DatabaseWrapper):
        engine = wrapper.settings_dict["ENGINE"]
        message = f"DATABASES[{alias!r}]['ENGINE'] is {engine!r}; set it to 'azpg_backend' to use this command."
        raise CommandError(message, returncode=USAGE_ERROR)
    return wrapper


def _own_wrappers() -> list[DatabaseWrapper]:
    found = [wrapper for wrapper in map(connections.__getitem__, connections) if isinstance(wrapper, DatabaseWrapper)]
    if not found:
        names = {alias: connections[alias].settings_dict["ENGINE"] for alias in connections}
        engines = ", ".join(f"{printable(alias)} has {engine!r}" for alias, engine in names.items())
        message = (
            f"There is nothing to check: no alias in DATABASES has 'ENGINE': 'azpg_backend' ({engines}). That is right "
            "for a host in plaintext_hosts that is not this machine; elsewhere, set ENGINE."
        )
        raise CommandError(message, returncode=USAGE_ERROR)
    return found


def _list_of_codes(options: dict[str, Any], asked: Sequence[Output]) -> str:
    """Return every code with its meaning. Raises CommandError for what can't be meant along with it."""
    given = [flag for flag in _NOT_FOR_CODES if options[flag]]
    if given:
        flag = "ALIAS" if given[0] == "aliases" else f"--{given[0].replace('_', '-')}"
        raise CommandError(f"--list-codes checks nothing: leave out {flag}.", returncode=USAGE_ERROR)
    (first, *more) = asked
    if more or first.path or first.format not in {"text", "json"}:
        raise CommandError("--list-codes goes to standard output, as text or json.", returncode=USAGE_ERROR)
    if first.format == "json":
        rows = [{"code": code, "summary": text, "docs": address_of(code)} for code, text in STEP_CODES.items()]
        return json.dumps({"version": as_json.VERSION, "codes": rows}, indent=2) + "\n"
    width = max(map(len, STEP_CODES))
    return "".join(f"{code:<{width}}  {text}\n" for code, text in STEP_CODES.items())
