"""Collect everything that a function prints, logs, warns of or raises."""

from __future__ import annotations

import io
import logging
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout


def outputs(run: Callable[[], object]) -> str:
    """Return all that running something prints, logs, warns of or raises, traceback included."""
    out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    raised = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with redirect_stdout(out), redirect_stderr(err):
                run()
        except BaseException as error:  # noqa: BLE001
            raised = "".join(traceback.format_exception(error)) + repr(error)
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(level)
    return "\n".join([out.getvalue(), err.getvalue(), log.getvalue(), *(str(each.message) for each in warned), raised])
