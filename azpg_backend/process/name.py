"""What the server calls this process in pg_stat_activity, for the person who looks there at night."""

from __future__ import annotations

import os
import re
import sys
from pathlib import PurePath

from django.conf import settings

from azpg_backend.process.memory import Kept

# Characters of each word. PostgreSQL keeps 63 bytes, and replaces what is not printable ASCII (application_name).
_LONGEST = 26
_LAUNCHERS = frozenset({"manage.py", "django-admin", "django-admin.exe", "django-admin.py", "django"})
# What is no word of a person's or a program's choice, such as a token that somebody put on the command line, stays out.
_COMMAND = re.compile(rf"[a-z][a-z0-9_-]{{0,{_LONGEST - 1}}}", re.ASCII)

_names: Kept[dict[bool, str]] = Kept(dict)


def application_name(*, pooled: bool = False) -> str:
    """Return project, program and process id, such as "mysite gunicorn 4711" or "mysite migrate 12".

    pooled: whether a pooler shares the server's sessions among processes. It gives every session the name of the
    client that uses it, with a statement of its own whenever the name changes, so the process id is left out.
    """
    names = _names.get()
    if pooled not in names:
        words = [_project(), _program()] if pooled else [_project(), _program(), str(os.getpid())]
        names[pooled] = " ".join(filter(None, words))
    return names[pooled]


def _project() -> str:
    """Return the package of the settings module, or nothing if there is no such module."""
    module = getattr(settings, "SETTINGS_MODULE", None) or ""
    return _plain(str(module).partition(".")[0])


def _program() -> str:
    """Return Django's command, or the program that runs the site."""
    first = PurePath(sys.argv[0] if sys.argv else "")
    # python -m package
    name = first.parent.name if first.name == "__main__.py" else first.name
    if name not in _LAUNCHERS:
        return _plain(name.removesuffix(".exe").removesuffix(".py")) if name not in ("", "-c", "-m") else "python"
    command = next((each for each in sys.argv[1:] if not each.startswith("-")), "")
    return command if _COMMAND.fullmatch(command) else "manage.py"


def _plain(text: str) -> str:
    return re.sub(r"[^\w.+-]", "", text, flags=re.ASCII)[:_LONGEST]
