"""Forty tasks in prefork workers whose parent used the database before, and which are replaced after seven tasks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from celery import Celery

from tests.support.packages import project
from tests.support.waiting import until

FOLDER = Path(os.environ.setdefault("LAB_CELERY", tempfile.mkdtemp()))
for name in ("queue", "control"):
    (FOLDER / name).mkdir(exist_ok=True)
project.configure("django.contrib.contenttypes", "django.contrib.auth")
app = Celery("lab", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER / "queue"),
        "data_folder_out": str(FOLDER / "queue"),
        "control_folder": str(FOLDER / "control"),
    },
    worker_concurrency=2,
    worker_max_tasks_per_child=7,
    broker_connection_retry_on_startup=True,
)
app.loader.import_default_modules()
if "worker" in sys.argv:
    project.asked("SELECT 1")


@app.task(name="work")
def work(number: int) -> None:
    from django.contrib.auth.models import Group

    Group.objects.create(name=f"{number} {project.encrypted()}")


def test_tasks() -> None:
    from django.contrib.auth.models import Group

    project.migrate()
    for number in range(40):
        work.delay(number)
    words = [sys.executable, "-m", "celery", "-A", "tests.packages.celery", "worker", "--loglevel", "ERROR"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": ""}
    with subprocess.Popen(words, start_new_session=True, env=environment) as worker:
        try:
            until(lambda: Group.objects.count() == 40)
        finally:
            project.end(worker)
    assert {each.partition(" ")[2] for each in Group.objects.values_list("name", flat=True)} == {"True"}
