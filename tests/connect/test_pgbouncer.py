"""A real PgBouncer over TLS in transaction mode, as Azure's built-in one is."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import DatabaseError, OperationalError

from azpg_backend.connect import servers
from demo_project.localpg import LocalPostgres
from demo_project.notes.models import Note
from tests.support.diagnosis import Check, codes
from tests.support.load import kept
from tests.support.pgbouncer import PgBouncer, needs_pgbouncer
from tests.support.settings import Settings, SettingsFor

pytestmark = needs_pgbouncer

Connect = Callable[..., Any]
Databases = Callable[..., None]


@pytest.fixture(scope="module")
def pgbouncer_port(server: LocalPostgres) -> Iterator[int]:
    with PgBouncer(server) as running:
        yield running.port


@pytest.fixture
def pooled(server: LocalPostgres, settings_for: SettingsFor, pgbouncer_port: int) -> Settings:
    return settings_for(server, PORT=pgbouncer_port, DISABLE_SERVER_SIDE_CURSORS=True)


def test_verified_tls_to_pgbouncer(pooled: Settings, connect: Connect, tmp_path: Path) -> None:
    with connect(pooled).cursor() as cursor:
        cursor.execute("SELECT 1")
    with pytest.raises(OperationalError, match="does not match host name"):
        connect({**pooled, "HOST": "other.postgres.database.azure.com"}).cursor()


def test_the_check_through_pgbouncer(pooled: Settings, check: Check) -> None:
    steps = check(pooled)
    assert codes(steps) == []
    assert steps["session"].detail["tls"] is True


def test_later_connections_work_where_pgbouncer_is_too_old_for_direct_tls(pooled: Settings, connect: Connect) -> None:
    """Before 1.25 it does not know direct TLS, while the server behind it says that it is new enough."""
    for _ in range(4):
        wrapper = connect(pooled)
        started = time.monotonic()
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
        wrapper.close()
        # A silent end would keep it for the whole connect_timeout.
        assert time.monotonic() - started < 10
    started = time.monotonic()
    wrapper = connect(pooled)
    wrapper.ensure_connection()
    # A direct attempt waits for 3 s.
    assert time.monotonic() - started < 3


@pytest.fixture
def notes(pooled: Settings, databases: Databases) -> Iterator[None]:
    databases(default=pooled)
    with connections["default"].schema_editor() as editor:
        editor.create_model(Note)
    Note.objects.bulk_create([Note(text=str(number)) for number in range(500)])
    yield
    with connections["default"].schema_editor() as editor:
        editor.delete_model(Note)


def busy(connect: Connect, settings: Settings, count: int) -> list[Any]:
    """Other clients in a transaction, which keep the server connections that were free."""
    others = [connect(settings, f"other{number}") for number in range(count)]
    for other in others:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
    return others


def test_iterator_works_without_server_side_cursors_and_breaks_with_them(
    pooled: Settings, connect: Connect, notes: None
) -> None:
    rows = Note.objects.iterator(chunk_size=50)
    next(rows)
    others = busy(connect, pooled, 2)
    assert len(list(rows)) == 499
    for other in others:
        other.close()
    # The naive configuration: the next chunk is asked of another server connection.
    connections["default"].settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = False
    rows = Note.objects.iterator(chunk_size=50)
    next(rows)
    others = busy(connect, pooled, 2)
    try:
        # Django closes the cursor without wrapping the driver's error.
        with pytest.raises((DatabaseError, connections["default"].Database.Error), match="cursor .* does not exist"):
            list(rows)
    finally:
        connections["default"].close()
        for other in others:
            other.close()
        with warnings.catch_warnings():
            # The cursor that could not be closed is what this test is about.
            warnings.simplefilter("ignore", ResourceWarning)
            del rows
            gc.collect()


def test_transactions_stay_on_one_server_connection(pooled: Settings, connect: Connect, notes: None) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Note.objects.create(text="never")
        others = busy(connect, pooled, 2)
        assert Note.objects.filter(text="never").exists()
        for other in others:
            other.close()
        raise ZeroDivisionError
    assert not Note.objects.filter(text="never").exists()


def test_a_health_check_through_pgbouncer(pooled: Settings, connect: Connect, server: LocalPostgres) -> None:
    wrapper = connect({**pooled, "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": None})
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert wrapper.is_usable()
    # PgBouncer replaces a server connection that died; its client's own stays.
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    time.sleep(0.3)
    assert wrapper.is_usable()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize("options", [{"options": "-c statement_timeout=5000"}, {"options": "-c search_path=public"}])
def test_start_up_settings_are_refused_in_words(pooled: Settings, check: Check, options: dict[str, str]) -> None:
    steps = check({**pooled, "OPTIONS": {**pooled["OPTIONS"], **options}})
    assert codes(steps) == ["login.failed"]
    assert "unsupported startup parameter" in steps["login"].message
    assert "ALTER ROLE" in (steps["login"].hint or "")


def test_channel_binding_is_refused_in_words(pooled: Settings, check: Check) -> None:
    steps = check({**pooled, "OPTIONS": {**pooled["OPTIONS"], "channel_binding": "require"}})
    assert codes(steps) == ["login.failed"]
    assert "channel_binding" in (steps["login"].hint or "")


def test_an_unknown_database_and_a_wrong_password(pooled: Settings, check: Check) -> None:
    assert codes(check({**pooled, "PASSWORD": "wrong"})) == ["login.wrong_password"]
    assert codes(check({**pooled, "NAME": "nope"})) == ["login.unknown_database"]


def test_a_pgbouncer_that_is_full_is_waited_for(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, check: Check
) -> None:
    with PgBouncer(server, settings="max_client_conn = 1\n") as full:
        settings = settings_for(server, PORT=full.port, DISABLE_SERVER_SIDE_CURSORS=True)
        first = connect(settings, "first")
        first.ensure_connection()
        steps = check(settings)
        assert codes(steps) == ["login.too_many_connections"]
        # PgBouncer is what they have.
        assert "pgbouncer.max_client_conn" in (steps["login"].hint or "")
        assert "PORT 6432" not in (steps["login"].hint or "")
        with pytest.raises(OperationalError, match=r"max_client_conn(.|\n)*azpg_check"):
            connect({**settings, "OPTIONS": {**settings["OPTIONS"], "azpg": {"connect_retry_seconds": 0.2}}}).cursor()
        threading.Timer(0.5, first.connection.close).start()
        patient = {**settings["OPTIONS"], "azpg": {"connect_retry_seconds": 30}}
        connect({**settings, "OPTIONS": patient}, "second").ensure_connection()


def test_a_transaction_that_gets_no_server_connection(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, check: Check
) -> None:
    """The pool of connections to the server is in use, and query_wait_timeout is over: no sign of an outage."""
    with PgBouncer(server, settings="default_pool_size = 1\nquery_wait_timeout = 1\n") as small:
        settings = settings_for(server, PORT=small.port, DISABLE_SERVER_SIDE_CURSORS=True)
        other = connect(settings, "other")
        # Connects while there is a server connection: what follows is a query's.
        other.ensure_connection()
        (first,) = busy(connect, settings, 1)
        with pytest.raises((OperationalError, DatabaseError)) as met, other.cursor() as cursor:
            cursor.execute("SELECT 1")
        steps = check(settings)
        if is_psycopg3:
            assert "default_pool_size" in str(met.value)
            assert codes(steps) == ["login.too_many_connections"]
            assert "default_pool_size" in (steps["login"].hint or "")
            assert not servers.outage_of(other.plan()).is_known(time.monotonic())
        else:
            # psycopg2 keeps libpq's last words only, that the connection has ended.
            assert "closed unexpectedly" in str(met.value)
        first.close()


def test_after_a_death_a_busy_pool_is_waited_for(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect
) -> None:
    """For longer than a connect may last, as with Django's own engine: query_wait_timeout is the pooler's to decide."""
    with PgBouncer(server, settings="default_pool_size = 1\n") as small:
        options = {"connect_timeout": 2, "azpg": {"connect_retry_seconds": 1}}
        settings = kept(settings_for(server, options, PORT=small.port, DISABLE_SERVER_SIDE_CURSORS=True))
        wrappers = [connect(settings, f"worker{number}") for number in range(3)]
        for each in wrappers:
            each.inc_thread_sharing()
            assert asked_for_one(each) is None
        small.stop()
        small.start()
        (holder,) = busy(connect, settings, 1)
        freeing = threading.Timer(5, holder.connection.rollback)
        freeing.start()
        errors: list[str | None] = []
        asking = [threading.Thread(target=lambda each=each: errors.append(asked_for_one(each))) for each in wrappers]
        for thread in asking:
            thread.start()
        for thread in [*asking, freeing]:
            thread.join()
        assert errors == [None] * 3
        holder.close()


def asked_for_one(wrapper: Any) -> str | None:
    """Do as a request does that asks one thing, and return its error."""
    wrapper.close_if_unusable_or_obsolete()
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
    except OperationalError as error:
        return str(error)
    wrapper.close_if_unusable_or_obsolete()
    return None
