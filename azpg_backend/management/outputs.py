"""The reports that azpg_check was asked for: each a format with the file that it goes to, or standard output."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.core.management.base import CommandParser

from azpg_backend.diagnosis import formats
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.trust import writing


class Output(NamedTuple):
    """One report.

    format: "" until the --format that an --output belongs to has been read.
    path: the file, or "" for standard output.
    """

    format: str
    path: str = ""


class OutputError(Exception):
    """A report can't go where it should. The text says which, why, what to do."""


def add_arguments(parser: CommandParser, path: Callable[[str], str]) -> None:
    """Add --format with --output.

    path: turns an argument into a path, or refuses it.
    """
    parser.add_argument(
        "--format",
        choices=list(formats.RENDERERS),
        default=None,
        action=_Format,
        help="Default: text. May be given several times, each but one with an --output.",
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        type=path,
        dest="format",
        action=_Path,
        help="Write the report of the --format beside it to PATH, whole or not at all; without one, text. If every "
        "report goes to a file, text is printed as well.",
    )


class _Format(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        asked: list[Output] = list(getattr(namespace, self.dest) or ())
        path = asked.pop().path if asked and not asked[-1].format else ""
        setattr(namespace, self.dest, [*asked, Output(str(values), path)])


class _Path(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        asked: list[Output] = list(getattr(namespace, self.dest) or ())
        if asked and not asked[-1].format:
            parser.error(f"argument --output: {asked[-1].path!r} has no --format beside it")
        format = asked.pop().format if asked and not asked[-1].path else ""
        setattr(namespace, self.dest, [*asked, Output(format, str(values))])


def is_files_only(given: str | Sequence[Output] | None) -> bool:
    """Whether nothing that --format and --output left needs a standard output."""
    return bool(given) and not isinstance(given, str) and all(each.path for each in given or ())


def asked_for(given: str | Sequence[Output] | None, others: Mapping[str, str | None] | None = None) -> list[Output]:
    """Return the reports to make. Raises OutputError if they can't go together, or a file can't be written.

    given: what --format and --output left; a program may give the name of a format.
    others: the other files of this run, by the flags that name them; no report may replace one of them.
    """
    outputs = [Output(given)] if isinstance(given, str) else list(given or ())
    if len(outputs) == 1 and not outputs[0].format:
        outputs = [Output("text", outputs[0].path)]
    if strays := [each.path for each in outputs if not each.format]:
        raise OutputError(f"--output: {strays[0]} has no --format beside it. Write --format and --output in pairs.")
    if len([each for each in outputs if not each.path]) > 1:
        raise OutputError("--format: only one report can go to standard output. Give the others an --output each.")
    taken = {os.path.realpath(path): flag for flag, path in (others or {}).items() if path}
    for each in outputs:
        if each.path:
            _look(each.path)
            real = os.path.realpath(each.path)
            if flag := taken.get(real):
                again = "is there twice" if flag == "--output" else f"is the file of {flag}"
                raise OutputError(f"--output: {each.path} {again}. Give each report a file of its own.")
            taken[real] = "--output"
    return outputs if any(not each.path for each in outputs) else [Output("text"), *outputs]


def _look(path: str) -> None:
    """Refuse before the check what would fail after it. Raises OutputError."""
    if path == "-":
        raise OutputError("--output: for standard output leave out --output; a file of that name is ./-")
    if path.endswith(os.sep):
        raise OutputError(f"--output: {path} is a folder: add the name of a file")
    # Of a pipe, such as /dev/stdout often is, realpath() gives a name that does not exist.
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OutputError(f"--output: {path} is not a file. For standard output leave out --output.")
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise OutputError(f"--output: {path} can't be written: there is no folder {folder}. Make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"--output: {path} can't be written: this account may not write to the folder {folder}.")


def write(outputs: Iterable[Output], outcome: Outcome) -> list[str]:
    """Write the reports that go to files, each whole or not at all; return what went wrong, in words."""
    failed = []
    for each in outputs:
        if each.path:
            data = formats.render(each.format, outcome).encode("utf-8", "backslashreplace")
            try:
                writing.write_over(each.path, data)
            except (OSError, writing.CaFileError) as error:
                reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
                failed.append(f"--output: {each.path} can't be written ({reason}); nothing of it was changed.")
    return failed
