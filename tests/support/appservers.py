"""Real application servers, each in front of tests/support/site.py for as long as a ``with`` block lasts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_project.localpg.server import free_port
from tests.support.settings import Settings

ROOT = Path(__file__).parents[2]
# Seconds, on a machine that is busy.
_START = 60
_BIN = Path(sys.executable).parent
_ADDRESS = "127.0.0.1"

# Without lazy-apps: the site is imported once, and the workers are forked without Python's hooks.
_UWSGI = (
    "uwsgi --http-socket {address}:{port} --module tests.support.site:wsgi --master --processes 3 --need-app"
    " --threads 2 --enable-threads --virtualenv {venv} --pythonpath {root} --die-on-term"
)
_GUNICORN = (
    "gunicorn --preload --workers 3 --bind {address}:{port} --worker-tmp-dir /dev/shm"
    " --no-control-socket tests.support.site:wsgi"
)
COMMANDS = {
    "uwsgi": _UWSGI,
    "uwsgi, lazily": f"{_UWSGI} --lazy-apps",
    # Its workers end at once under Python 3.13, whatever they serve.
    "uwsgi, with hooks": f"{_UWSGI} --py-call-osafterfork",
    "gunicorn": _GUNICORN,
    "gunicorn, threads": f"{_GUNICORN} --worker-class gthread --threads 4",
    # Greenlets. gunicorn patches Python in each worker, which is too late for a site that is preloaded: Django's
    # connections would belong to all of them.
    "gevent": "gunicorn --worker-class gevent --workers 1 --graceful-timeout 1 --bind {address}:{port}"
    " --worker-tmp-dir /dev/shm --no-control-socket tests.support.site:wsgi",
    "gevent, preloaded": "python -m gevent.monkey {venv}/bin/gunicorn --worker-class gevent --workers 2 --preload"
    " --bind {address}:{port} --worker-tmp-dir /dev/shm --no-control-socket tests.support.site:wsgi",
    "uvicorn": "uvicorn --host {address} --port {port} --lifespan off tests.support.site:asgi",
    "daphne": "daphne --bind {address} --port {port} tests.support.site:asgi",
    "hypercorn": "hypercorn --bind {address}:{port} tests.support.site:asgi",
}


class Site:
    """url: its address. log: what the server wrote."""

    def __init__(self, port: int, log: Path) -> None:
        self.url = f"http://{_ADDRESS}:{port}/"
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str = "") -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def many(self, number: int, threads: int, path: str = "") -> tuple[list[dict[str, Any]], list[str]]:
        """Return the answers to so many requests, and the errors."""
        answers: list[dict[str, Any]] = []
        errors: list[str] = []

        def work() -> None:
            for _ in range(number // threads):
                try:
                    answers.append(self.get(path))
                except OSError as error:
                    errors.append(str(error))

        running = [threading.Thread(target=work) for _ in range(threads)]
        for each in running:
            each.start()
        for each in running:
            each.join()
        return answers, errors


@contextlib.contextmanager
def serving(name: str, databases: dict[str, Settings], folder: Path, **environ: str) -> Iterator[Site]:
    """Start an application server, or skip the test if it is not installed."""
    port = free_port()
    words = COMMANDS[name].format(address=_ADDRESS, port=port, venv=sys.prefix, root=ROOT).split()
    program = _BIN / words[0]
    if not program.exists():
        pytest.skip(f"{words[0]} is not installed")
    if "--py-call-osafterfork" in words and sys.version_info >= (3, 13):
        pytest.skip("uWSGI does not bear its own option here")
    env = {**os.environ, "SITE_DATABASES": json.dumps(databases), "PYTHONPATH": str(ROOT), **environ}
    site = Site(port, folder / "log")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [str(program), *words[1:]], cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(site, process)
        yield site
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def all_answered(
    name: str, databases: dict[str, Settings], folder: Path, path: str = "", **environ: str
) -> list[dict[str, Any]]:
    """Return a site's answers to 200 requests, none of which may fail."""
    with serving(name, databases, folder, **environ) as site:
        answers, errors = site.many(200, 8, path)
    assert errors == []
    assert len(answers) == 200
    return answers


def _wait(site: Site, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START
    while True:
        try:
            urllib.request.urlopen(site.url + "nothing", timeout=60)
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                pytest.fail(site.log[-3000:])
            time.sleep(0.05)
