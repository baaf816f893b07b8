"""Numbers of seconds, as the commands take them from a command line."""

from __future__ import annotations

import argparse


def seconds(text: str) -> float:
    """Read a limit. Raises ArgumentTypeError for what is none, such as nan."""
    return _number(text, 0.1)


def seconds_or_none(text: str) -> float:
    """Read a time that may be 0. Raises ArgumentTypeError."""
    return _number(text, 0.0)


def _number(text: str, smallest: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not smallest <= number <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {smallest:g} to 3600")
    return number
