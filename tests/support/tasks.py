"""A real Celery with prefork workers, and a folder as its broker, for as long as a ``with`` block lasts.

As in a project, Celery knows Django (DJANGO_SETTINGS_MODULE), whose settings are those of tests/support/site.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo_project.localpg import LocalPostgres
from tests.support.settings import Settings
from tests.support.sql import NOTES
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
PROCESSES = 2


def application(folder: Path) -> Any:
    """Return an application whose messages, and accounts of tasks, are files in a folder."""
    import celery

    for name in ("queue", "control", "begun", "failed"):
        (folder / name).mkdir(exist_ok=True)
    options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.01,
    }
    made = celery.Celery("tasks", broker="filesystem://", set_as_current=False)
    made.conf.update(
        broker_transport_options=options,
        worker_concurrency=PROCESSES,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    return made


def write(number: int) -> None:
    """Write a row that says who wrote it, or note why not."""
    from django.db import connection

    from demo_project.notes.models import Note

    (FOLDER / "begun" / str(number)).touch()
    try:
        connection.ensure_connection()
        owner = {"number": number, "process": os.getpid(), "backend": connection.connection.info.backend_pid}
        Note.objects.create(text=json.dumps(owner))
    except Exception as error:
        (FOLDER / "failed" / str(number)).write_text(f"{os.getpid()}: {error}")
        raise
    time.sleep(0.02)


if "TASKS_FOLDER" in os.environ:
    # In the worker, whose processes are forked once the site has been imported.
    from tests.support import site

    assert site.wsgi
    FOLDER = Path(os.environ["TASKS_FOLDER"])
    app = application(FOLDER)
    app.task(name="write")(write)


class Tasks:
    """Sends tasks, and tells what became of them. log: what the worker wrote."""

    def __init__(self, folder: Path, worker: subprocess.Popen[bytes]) -> None:
        self._folder, self._worker = folder, worker
        self._sender = application(folder)

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def send(self, numbers: range) -> None:
        for number in numbers:
            self._sender.send_task("write", [number])

    def begun(self) -> int:
        return len(list((self._folder / "begun").iterdir()))

    def failed(self) -> dict[int, str]:
        """Return process id and error of each task that failed, by the task's number."""
        return {int(path.name): path.read_text() for path in (self._folder / "failed").iterdir()}

    def wait(self, number: int) -> None:
        """Wait until so many tasks have begun, while the worker lives."""
        until(lambda: self.begun() >= number or self._worker.poll() is not None)
        assert self._worker.poll() is None, self.log[-3000:]


@contextlib.contextmanager
def worker(databases: dict[str, Settings], folder: Path, **environ: str) -> Iterator[Tasks]:
    """Start a worker, which ends once its running tasks have ended."""
    # No other workers to look for, which takes seconds.
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    words = [sys.executable, "-m", "celery", "-A", "tests.support.tasks:app", "worker", "--loglevel", "WARNING", *alone]
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.support.site",
        "SITE_DATABASES": json.dumps(databases),
        "TASKS_FOLDER": str(folder),
        # Celery's worker warns root.
        "C_FORCE_ROOT": "1",
        **environ,
    }
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(words, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield Tasks(folder, process)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def create_table(server: LocalPostgres) -> None:
    """Make the empty table that tasks write into."""
    rights = "GRANT ALL ON notes_note TO PUBLIC; GRANT ALL ON notes_note_id_seq TO PUBLIC"
    server.sql(f"DROP TABLE IF EXISTS notes_note; {NOTES}; {rights}", "app")


def rows(server: LocalPostgres) -> list[dict[str, int]]:
    """Return what the tasks wrote: number, process and backend."""
    return [json.loads(line) for line in server.sql("SELECT text FROM notes_note", "app").splitlines()]


def owners(done: list[dict[str, int]]) -> int:
    """Return how many processes wrote these rows; no two of them may have used the same backend."""
    found = {each["backend"]: each["process"] for each in done}
    assert all(found[each["backend"]] == each["process"] for each in done)
    return len(set(found.values()))
