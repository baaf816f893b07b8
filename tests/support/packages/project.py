"""The Django project of a scenario, on the engine under test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

STOCK = "django.db.backends.postgresql"
PAGE = Path(__file__).parents[3] / "docs" / "composition.md"


def known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(os.environ["AZPG_LAB"]).read_text("utf-8"))
    return found


def engine() -> str:
    return str(known()["engine"])


def named_engine() -> str:
    """Return the engine under test by a name with "postgresql" in it."""
    return STOCK if engine() == STOCK else "azpg_backend.postgresql"


def database(**changes: Any) -> dict[str, Any]:
    """Return an entry of DATABASES; OPTIONS are added to those that it needs."""
    return _changed(known()["database"], changes)


def entra(**changes: Any) -> dict[str, Any]:
    """The same, with this engine and a login by token."""
    return _changed(known()["entra"], changes)


def _changed(entry: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    options = {**entry["OPTIONS"], **changes.pop("OPTIONS", {})}
    return {**entry, **changes, "OPTIONS": options}


def configure(*apps: str, databases: dict[str, Any] | None = None, **settings: Any) -> None:
    """Be a Django project with these applications, unless this process is one already."""
    import django
    from django.conf import settings as project

    if project.configured:
        return
    project.configure(
        **{
            "SECRET_KEY": "for tests",
            "ALLOWED_HOSTS": ["*"],
            "USE_TZ": True,
            "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
            "DATABASES": databases or {"default": database()},
            "INSTALLED_APPS": [*apps, *(["azpg_backend"] if engine() != STOCK else [])],
            **settings,
        }
    )
    django.setup()


def migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and all of the group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def asked(statement: str, alias: str = "default") -> Any:
    """Return the first value of a query's first row."""
    from django.db import connections

    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def encrypted(alias: str = "default") -> bool:
    return bool(asked("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", alias))


def recipe(heading: str) -> str:
    """Return the Python below a heading of docs/composition.md."""
    (section,) = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    return "\n".join(re.findall(r"^```python\n(.*?)^```", section, re.M | re.S))


def followed(heading: str, name: str) -> ModuleType:
    """Run the Python below a heading of docs/composition.md as a module of the project, and return it."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(recipe(heading), f"{PAGE.name}: {heading}", "exec"), vars(module))
    return module


def engine_module(heading: str, name: str) -> str:
    """Follow a recipe that makes an engine, over the engine under test, and return its name."""
    text = recipe(heading)
    return engine_of(text.replace("azpg_backend.base", f"{STOCK}.base") if engine() == STOCK else text, name)


def engine_of(text: str, name: str) -> str:
    """Make an engine of a module's text, and return its name."""
    package, module = ModuleType(name), ModuleType(f"{name}.base")
    package.__path__ = []
    sys.modules |= {name: package, module.__name__: module}
    exec(compile(text, name, "exec"), vars(module))
    return name
