"""A cluster of two workers with the ORM as its broker."""

from __future__ import annotations

import subprocess
import sys

from django.core.management import call_command

from tests.support.packages import project
from tests.support.waiting import until

project.configure(
    "django_q",
    Q_CLUSTER={"name": "lab", "orm": "default", "workers": 2, "poll": 0.2, "timeout": 60, "retry": 90},
)


def work(number: int) -> int:
    return number + int(project.encrypted())


def test_cluster() -> None:
    from django_q.models import Success
    from django_q.tasks import async_task

    project.migrate()
    for number in range(10):
        async_task("tests.packages.django_q2.work", number)
    with subprocess.Popen([sys.executable, "-m", "tests.packages.django_q2"], start_new_session=True) as cluster:
        try:
            until(lambda: Success.objects.count() == 10)
        finally:
            project.end(cluster)
    assert sorted(Success.objects.values_list("result", flat=True)) == list(range(1, 11))


if __name__ == "__main__":
    call_command("qcluster", verbosity=0)
