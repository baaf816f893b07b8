"""docs/replicas.md against a primary and its standby: the recipe and the query as they stand there, and the check."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from demo_project.localpg import Chain
from tests.support.diagnosis import Check
from tests.support.examples import run_by
from tests.support.pair import Member, streaming_pair
from tests.support.settings import SettingsFor
from tests.support.sql import NOTES
from tests.support.waiting import until

EXAMPLES = run_by("tests/docs/test_replicas.py::test_read_your_writes")
(RECIPE,) = (each.text for each in EXAMPLES if each.language == "python")
(QUERY,) = (each.text for each in EXAMPLES if each.language == "sql")

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def pair(chain: Chain) -> Iterator[tuple[Member, Member]]:
    with streaming_pair(chain) as members:
        members[0].sql(f"{NOTES}; ALTER TABLE notes_note OWNER TO app", "app")
        yield members


@pytest.fixture
def paused(pair: tuple[Member, Member]) -> Iterator[Member]:
    """The standby, which has everything that was written until now, and applies nothing that comes later."""
    primary, standby = pair
    caught_up(primary, standby)
    standby.sql("SELECT pg_wal_replay_pause()")
    until(lambda: standby.sql("SELECT pg_get_wal_replay_pause_state()") == "paused")
    yield standby
    standby.sql("SELECT pg_wal_replay_resume()")


def caught_up(primary: Member, standby: Member) -> None:
    written = primary.sql("SELECT pg_current_wal_lsn()")
    until(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == "t")


@pytest.fixture
def site(
    pair: tuple[Member, Member], settings_for: SettingsFor, databases: Callable[..., None]
) -> Iterator[Callable[..., HttpResponse]]:
    """Return a function that visits a site with the page's router and middleware: GET counts notes, POST adds one."""
    primary, standby = pair
    databases(default=settings_for(primary), replica=settings_for(standby, {"target_session_attrs": "any"}))
    module: dict[str, Any] = {}
    exec(compile(RECIPE, "routers.py", "exec"), module)

    def view(request: HttpRequest) -> HttpResponse:
        from demo_project.notes.models import Note

        if request.method == "POST":
            Note.objects.create(text="mine")
        return HttpResponse(str(Note.objects.count()))

    def visit(method: str, cookies: dict[str, str] | None = None) -> HttpResponse:
        request = RequestFactory().generic(method, "/")
        request.COOKIES = cookies or {}
        response: HttpResponse = module["read_your_writes"](view)(request)
        return response

    with override_settings(DATABASE_ROUTERS=[module["ReplicaRouter"]()]):
        yield visit
    connections.close_all()


def test_read_your_writes(site: Callable[..., HttpResponse], pair: tuple[Member, Member], paused: Member) -> None:
    """The good case first: whoever wrote sees it; then somebody else, who reads the replica."""
    before = int(site("GET").content)
    wrote = site("POST")
    assert int(wrote.content) == before + 1, "in the request that wrote"
    cookies = {name: morsel.value for name, morsel in wrote.cookies.items()}
    assert wrote.cookies["wrote"]["max-age"] == 10
    assert int(site("GET", cookies).content) == before + 1, "in the next request of that browser"
    assert not site("GET", cookies).cookies, "reading does not prolong it"
    other = site("GET")
    assert (int(other.content), len(other.cookies)) == (before, 0), "another browser reads the replica"
    paused.sql("SELECT pg_wal_replay_resume()")
    caught_up(*pair)
    assert int(site("GET").content) == before + 1


def test_requests_side_by_side_know_nothing_of_each_other(site: Callable[..., HttpResponse], paused: Member) -> None:
    before = int(site("GET").content)
    found: list[int] = []

    def read() -> None:
        found.append(int(site("GET").content))
        connections.close_all()

    assert int(site("POST").content) == before + 1
    thread = threading.Thread(target=read)
    thread.start()
    thread.join(60)
    assert found == [before]


def test_the_lag_is_shown(pair: tuple[Member, Member], paused: Member, settings_for: SettingsFor, check: Check) -> None:
    primary, standby = pair
    readers = settings_for(standby, {"target_session_attrs": "any"})
    assert float(standby.sql(QUERY, "app")) == 0
    assert (check(readers)["session"].detail["role"], check(readers)["session"].detail["lag_seconds"]) == ("standby", 0)
    primary.sql("INSERT INTO notes_note (text, created) VALUES ('late', now())", "app")
    until(lambda: float(standby.sql(QUERY, "app")) > 0)
    session = check(readers)["session"]
    assert session.detail["lag_seconds"] > 0
    assert f"a standby {session.detail['lag_seconds']:g} s behind" in session.message
    assert check(settings_for(primary))["session"].detail["role"] == "primary"
