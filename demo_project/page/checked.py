"""The last result of ``manage.py azpg_check``, kept for the page."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from django.core.management import call_command

# Seconds for each step: somebody is waiting for the page.
TIMEOUT = 5


@dataclass(frozen=True)
class Checked:
    """What the check said of one alias.

    at: when it ended.
    report: the alias's part of the JSON document.
    """

    at: datetime
    report: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        return bool(self.report["ok"])

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        return list(self.report["steps"])

    @property
    def took_ms(self) -> float:
        return float(sum(step["duration_ms"] for step in self.steps))

    def step(self, name: str) -> Mapping[str, Any]:
        """Return a step by its name; one that the check does not know counts as skipped."""
        found = (step for step in self.steps if step["step"] == name)
        return next(found, {"step": name, "status": "skip", "code": f"{name}.skipped", "message": "", "detail": {}})

    def detail(self, name: str) -> Mapping[str, Any]:
        return dict(self.step(name)["detail"])

    def codes(self, name: str) -> set[str]:
        """Return all codes of a step, which may have found more than one thing."""
        return {self.step(name)["code"], *(each["code"] for each in self.detail(name).get("problems", []))}


_lock = threading.Lock()
_last: dict[str, Checked] = {}


def check(alias: str = "default") -> Checked:
    """Run the check and keep its result."""
    output = io.StringIO()
    # Its exit status says what the document says too.
    with contextlib.suppress(SystemExit):
        call_command("azpg_check", alias, format="json", offline=True, timeout=TIMEOUT, stdout=output)
    (report,) = json.loads(output.getvalue())["databases"]
    _last[alias] = Checked(datetime.now(timezone.utc), report)
    return _last[alias]


def last_check(alias: str = "default") -> Checked:
    """Return the last result; the first call runs the check."""
    with _lock:
        return _last.get(alias) or check(alias)
