"""Jobs deferred in Django and done by its worker; the recipe's worker with a token."""

from __future__ import annotations

import functools

import pytest
from django.core.management import call_command

from tests.support.packages import project

DATABASES = {"default": project.database()}
if project.engine() != project.STOCK:
    DATABASES["managed"] = project.entra()
project.configure("procrastinate.contrib.django", databases=DATABASES)

from procrastinate.contrib.django import app  # noqa: E402 (needs settings)

DONE: list[int] = []


@app.task(name="work")
def work(number: int) -> None:
    DONE.append(number)


@pytest.fixture(autouse=True)
def jobs() -> None:
    project.migrate()
    DONE.clear()
    for number in range(10):
        work.defer(number=number)


def test_worker() -> None:
    with app.replace_connector(app.connector.get_worker_connector()) as worker:
        worker.run_worker(wait=False, install_signal_handlers=False)
    assert sorted(DONE) == list(range(10))


@pytest.mark.recipe
def test_recipe() -> None:
    command = project.followed("procrastinate", "mysite_worker").Command()
    call_command(command, one_shot=True)
    assert sorted(DONE) == list(range(10))


@pytest.mark.recipe
def test_recipe_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    module = project.followed("procrastinate", "mysite_worker")
    arguments = functools.partial(module.parameters.arguments, "managed")
    monkeypatch.setattr(module.functools, "partial", lambda call, alias: arguments)
    call_command(module.Command(), one_shot=True)
    assert sorted(DONE) == list(range(10))
