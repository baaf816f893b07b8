"""A real streaming pair: an alias that writes leaves the server that was demoted, and others are left alone."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.utils import DatabaseError, InternalError

from azpg_backend.connect import roles
from demo_project.localpg import Chain
from tests.support.load import Figures, Load, create_table, kept, stored, write
from tests.support.pair import Member, streaming_pair, switch_over
from tests.support.pgbouncer import PgBouncer, needs_pgbouncer
from tests.support.servers import Relay
from tests.support.settings import Settings, SettingsFor
from tests.support.waiting import until

pytestmark = [pytest.mark.server, pytest.mark.slow]

Connect = Callable[..., Any]
Record = Callable[[str, object], None]

PATIENT = {"azpg": {"connect_retry_seconds": 30}}
# Seconds by which the name is late.
LATE = 2


@pytest.fixture
def pair(chain: Chain) -> Iterator[tuple[Member, Member]]:
    with streaming_pair(chain) as (primary, standby):
        create_table(primary)
        until(lambda: standby.sql("SELECT to_regclass('written')", "app"))
        yield primary, standby


def pooled(settings: Settings, size: int = 4) -> Settings:
    pytest.importorskip("psycopg_pool")
    options = {**settings["OPTIONS"], "pool": {"min_size": 1, "max_size": size}}
    return {**settings, "OPTIONS": options, "CONN_HEALTH_CHECKS": True}


@pytest.mark.parametrize("how", [kept, pooled])
def test_a_switchover_whose_name_is_late(
    pair: tuple[Member, Member],
    settings_for: SettingsFor,
    connect: Connect,
    record_property: Record,
    how: Callable[[Settings], Settings],
) -> None:
    primary, standby = pair
    with Relay(primary.port) as name:
        settings = how(settings_for(primary, PATIENT, PORT=name.port))
        # Closes the pool at the end.
        connect(settings)
        with Load([settings] * 4) as load, load.fault():
            switch_over(primary, standby)
            time.sleep(LATE)
            name.target = standby.port
        figures = load.figures(stored(standby))
    checked(figures, record_property, f"switchover, {how.__name__}")


def checked(figures: Figures, record_property: Record, name: str) -> None:
    """At most one failed write for each worker once the name has moved, and none lost."""
    assert len(figures.failed_after_return) <= 4
    dataclasses.replace(figures, failed_after_return=[]).check(record_property, name)


def pid(wrapper: Any) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


READERS: dict[str, Settings] = {
    "target_session_attrs": {"target_session_attrs": "any"},
    "read-only sessions": {"options": "-c default_transaction_read_only=on"},
}


@pytest.mark.parametrize("how", [kept, functools.partial(pooled, size=1)], ids=["kept", "pooled"])
def test_who_stays_on_a_standby(
    pair: tuple[Member, Member],
    settings_for: SettingsFor,
    connect: Connect,
    how: Callable[[Settings], Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An alias for reading does. One that writes gets in at once, for it never saw a primary, and asks again."""
    _, standby = pair
    for name, options in READERS.items():
        reader = connect(how(settings_for(standby, {**PATIENT, **options})), name)
        first = pid(reader)
        with pytest.raises(DatabaseError, match="read-only"), reader.cursor() as cursor:
            cursor.execute("INSERT INTO written VALUES (1)")
        reader.close_if_unusable_or_obsolete()
        assert pid(reader) == first, name
        reader.close()
    started = time.monotonic()
    writer = connect(how(settings_for(standby, PATIENT)), "writer")
    first = pid(writer)
    assert time.monotonic() - started < 20
    writer.close_if_unusable_or_obsolete()
    assert pid(writer) != first
    # A server older than PostgreSQL 14 says nothing of its role, until a write is refused.
    monkeypatch.setattr(roles, "claims_recovery", lambda connection: False)
    writer.close()
    first = pid(writer)
    writer.close_if_unusable_or_obsolete()
    assert pid(writer) == first
    with pytest.raises(InternalError, match="read-only"), writer.cursor() as cursor:
        cursor.execute("INSERT INTO written VALUES (1)")
    writer.close_if_unusable_or_obsolete()
    assert pid(writer) != first
    writer.close()


def test_nobody_is_torn_out_of_a_transaction(
    pair: tuple[Member, Member], settings_for: SettingsFor, connect: Connect
) -> None:
    _, standby = pair
    wrapper = connect(kept(settings_for(standby, PATIENT)))
    wrapper.set_autocommit(True)
    first = pid(wrapper)
    wrapper.in_atomic_block = True
    wrapper.close_if_unusable_or_obsolete()
    assert pid(wrapper) == first
    wrapper.in_atomic_block = False
    wrapper.close_if_unusable_or_obsolete()
    assert pid(wrapper) != first


def test_read_write_waits_for_a_promotion(
    pair: tuple[Member, Member], settings_for: SettingsFor, connect: Connect
) -> None:
    """target_session_attrs=read-write, with the old primary gone and the standby promoted 2 s later."""
    primary, standby = pair
    options = {**PATIENT, "target_session_attrs": "read-write", "hostaddr": "127.0.0.1,127.0.0.1"}
    settings = settings_for(primary, options, PORT=f"{primary.port},{standby.port}")
    settings["HOST"] = ",".join([settings["HOST"]] * 2)
    primary.stop()
    promoting = threading.Timer(2, standby.promote)
    promoting.start()
    started = time.monotonic()
    request = write(connect(settings), 1)
    promoting.join()
    assert request.error is None
    assert 1.5 < time.monotonic() - started < 25
    assert stored(standby) == {1}


def both(settings_for: SettingsFor, first: Member, second: Member, options: Settings) -> Settings:
    settings = settings_for(first, {**options, "hostaddr": "127.0.0.1,127.0.0.1"}, PORT=f"{first.port},{second.port}")
    return {**settings, "HOST": ",".join([settings["HOST"]] * 2)}


@pytest.mark.parametrize("how", [kept, functools.partial(pooled, size=1)], ids=["kept", "pooled"])
def test_of_two_servers_the_one_that_was_promoted_is_found(
    pair: tuple[Member, Member], settings_for: SettingsFor, connect: Connect, how: Callable[[Settings], Settings]
) -> None:
    """Without target_session_attrs libpq would take the first for ever, though it is the standby now."""
    primary, standby = pair
    settings = how(both(settings_for, primary, standby, PATIENT))
    wrapper = connect(settings)
    assert write(wrapper, 1).error is None
    primary.stop()
    promoting = threading.Timer(2, standby.promote)
    promoting.start()
    # The first is gone, and the other takes no writes yet.
    wrapper.close_if_unusable_or_obsolete()
    assert write(wrapper, 2).error is None
    promoting.join()
    primary.follow(standby)
    primary.start()
    wrapper.close()
    again = connect(settings, "again")
    assert write(again, 3).error is None
    assert stored(standby) == {1, 2, 3}
    for each in (wrapper, again):
        each.close()


def test_two_replicas_without_a_word_are_read_at_once(
    pair: tuple[Member, Member], settings_for: SettingsFor, connect: Connect
) -> None:
    _, standby = pair
    wrapper = connect(kept(both(settings_for, standby, standby, PATIENT)))
    started = time.monotonic()
    assert pid(wrapper)
    assert time.monotonic() - started < 20
    wrapper.close()


@needs_pgbouncer
@pytest.mark.parametrize("how", [kept, functools.partial(pooled, size=1)], ids=["kept", "pooled"])
def test_a_pooler_that_repeats_an_old_role_is_not_believed(
    pair: tuple[Member, Member], settings_for: SettingsFor, connect: Connect, how: Callable[[Settings], Settings]
) -> None:
    """PgBouncer tells each client what its own first login was told: here that the server is a standby."""
    primary, standby = pair
    with PgBouncer(standby) as bouncer:
        settings = {**settings_for(standby, PATIENT, PORT=bouncer.port), "DISABLE_SERVER_SIDE_CURSORS": True}
        first = connect(how(settings), "first")
        first.ensure_connection()
        # Asked, it really is one.
        assert first.leave_after_use
        first.close()
        primary.stop()
        standby.promote()
        second = connect(how(settings), "second")
        second.ensure_connection()
        connection = second.connection
        assert not second.leave_after_use
        assert write(second, 1).error is None
        if how is kept:
            assert second.connection is connection
        second.close()
    assert stored(standby) == {1}


@needs_pgbouncer
@pytest.mark.parametrize("how", [kept, functools.partial(pooled, size=1)], ids=["kept", "pooled"])
def test_behind_pgbouncer_a_demoted_server_is_left(
    pair: tuple[Member, Member], settings_for: SettingsFor, connect: Connect, how: Callable[[Settings], Settings]
) -> None:
    """Its clients' connections outlast the switchover, and it calls the server a primary; so a write has to tell."""
    primary, standby = pair
    with (
        PgBouncer(primary, settings="server_login_retry = 1\n") as old,
        PgBouncer(standby) as new,
        Relay(old.port) as name,
    ):
        settings = settings_for(primary, PATIENT, PORT=name.port, DISABLE_SERVER_SIDE_CURSORS=True)
        request, task = connect(how(settings), "request"), connect(how(settings), "task")
        assert [write(request, 1).error, write(task, 2).error] == [None, None]
        switch_over(primary, standby)
        # The proxy's name leads elsewhere from now on; the flows through the old one work as before.
        name.target = new.port
        for number, wrapper in enumerate([request, task], 3):
            with pytest.raises(InternalError, match="read-only"), wrapper.cursor() as cursor:
                cursor.execute("INSERT INTO written VALUES (0)")
            # A task or a thread closes by itself.
            wrapper.close() if wrapper is task else wrapper.close_if_unusable_or_obsolete()
            assert write(wrapper, number).error is None
            wrapper.close()
    assert stored(standby) == {1, 2, 3, 4}
