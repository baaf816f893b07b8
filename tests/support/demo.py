"""The demo as a user starts it, and reports of azpg_check for its page."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from demo_project.page.checked import Checked
from tests.support.settings import HOST

ROOT = Path(__file__).parents[2]
# SIGINT has to interrupt as in a terminal: nohup and scripts' background jobs ignore it.
_MANAGE = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["manage.py", *sys.argv[1:]]
runpy.run_path("manage.py", run_name="__main__")
"""


@contextlib.contextmanager
def demo(*arguments: str, folder: Path = ROOT, env: dict[str, str] | None = None, **popen: Any) -> Iterator[Any]:
    """Start ``manage.py demo``; at the end of the block it is told to stop, if it runs."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "DJANGO_", "PG"))}
    path = os.pathsep.join([str(folder), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", _MANAGE, "demo", "--no-color", *arguments],
        env={**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(env or {})},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **popen,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)


def url_of(process: Any) -> str:
    """Read what the demo says until it serves its page, and return the page's address."""
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"page: (http://\S+)", line):
            return found[1]
    pytest.fail("the demo served no page: " + "".join(said))


def _step(step: str, message: str = "", **detail: Any) -> dict[str, Any]:
    return {
        "step": step,
        "status": "pass",
        "code": f"{step}.ok",
        "message": message or f"{step} went well",
        "hint": None,
        "duration_ms": 1.5,
        "detail": detail,
    }


def certificate(subject: str, issuer: str, days: tuple[float, float] = (-10, 90), *sans: str) -> dict[str, Any]:
    """Return a certificate as the check reports one. days: its validity, counted from now."""
    begin, end = ((datetime.now(timezone.utc) + timedelta(days=each)).isoformat("T", "seconds") for each in days)
    names = {"subject": f"CN={subject}", "issuer": f"CN={issuer}"}
    return {**names, "not_before": begin, "not_after": end, "sha256": f"{hash(subject) % 16**8:064x}", "sans": [*sans]}


def good_report() -> dict[str, Any]:
    """Return what the check says of a good server, with no key but those that are promised."""
    chain = [
        certificate(HOST, "Issuing CA 02", (-10, 90), HOST),
        certificate("Issuing CA 02", "Middle Root G2", (-100, 900)),
        certificate("Middle Root G2", "Global Root", (-200, 1000)),
    ]
    root = certificate("Global Root", "Global Root", (-3000, 3600))
    roots = [{"name": "Global Root", "sha256": root["sha256"], "not_after": root["not_after"]}]
    steps = [
        _step("settings"),
        _step("ca", source="package", file=None, roots=roots),
        _step("dns", addresses=["127.0.0.1"]),
        _step("tcp"),
        _step("tls", protocol="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384"),
        _step("certificate", chain=chain, root="Global Root"),
        _step("login", user="app", method="password"),
        _step("session", server_version="17.0", tls=True),
    ]
    return {"alias": "default", "host": HOST, "port": 5432, "ok": True, "psql": f'psql "host={HOST}"', "steps": steps}


def checked(*failed: tuple[str, str, str], **certificate_detail: Any) -> Checked:
    """Return a good result, but for some steps.

    failed: code, message and hint of a step that failed; the steps after it are skipped.
    certificate_detail: replaces parts of the certificate step's detail.
    """
    report = copy.deepcopy(good_report())
    steps = {step["step"]: step for step in report["steps"]}
    steps["certificate"]["detail"].update(certificate_detail)
    for code, message, hint in failed:
        report["ok"] = False
        names = list(steps)
        name = code.partition(".")[0]
        steps[name].update(status="fail", code=code, message=message, hint=hint)
        for later in names[names.index(name) + 1 :]:
            steps[later].update(status="skip", code=f"{later}.skipped", message=f"needs {name}", detail={})
    return Checked(datetime.now(timezone.utc), report)
