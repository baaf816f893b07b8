"""Standard output that may go away before everything is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError

_LOST = "The report can't be written"
_STATUS = 2


class Printer:
    """Prints at once, until nobody reads any more or nothing more can be written; then it is silent.

    So whoever prints goes on with the rest of its work, and looks at the error in the end.

    out: a command's ``self.stdout``.
    error: what ended the printing, or None.
    """

    def __init__(self, out: Any) -> None:
        self._out = out
        self._target = getattr(out, "_out", out)
        self.error: OSError | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the program was started without a standard output."""
        return self._target is None

    @property
    def is_terminal(self) -> bool:
        return not self.is_closed and bool(self._out.isatty())

    def refuse_closed(self) -> None:
        """Raise CommandError if there is no standard output to print to."""
        if self.is_closed:
            raise CommandError(f"{_LOST}: standard output is closed.", returncode=_STATUS)

    def refuse_loss(self) -> None:
        """Raise CommandError if something could not be printed; not if its reader, such as head, had enough."""
        if self.error is not None and not isinstance(self.error, BrokenPipeError):
            reason = self.error.strerror or type(self.error).__name__
            raise CommandError(f"{_LOST}: {reason}.", returncode=_STATUS)

    def print(self, text: str) -> None:
        """Print, with escapes for the characters that the output's encoding has not."""
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        self._try(lambda: self._out.write(text.encode(encoding, "backslashreplace").decode(encoding), ending=""))

    def print_document(self, text: str) -> None:
        """Print a report for machines: as UTF-8, which its readers expect and some formats say of themselves.

        Windows gives a pipe or a file its code page. A terminal has its own encoding, as for any text.
        """
        raw = getattr(self._target, "buffer", None)
        if raw is None or self.is_terminal:
            self.print(text)
        else:
            self._try(lambda: raw.write(text.encode("utf-8", "backslashreplace")))

    def _try(self, write: Callable[[], object]) -> None:
        if self.is_closed or self.error is not None:
            return
        try:
            # What was printed before, in a buffer above the raw one.
            self._out.flush()
            write()
            self._out.flush()
        except OSError as error:
            self.error = error
            self._forget()

    def _forget(self) -> None:
        """Point standard output nowhere, or the interpreter complains when it flushes what nobody reads."""
        if self._target is sys.stdout:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
