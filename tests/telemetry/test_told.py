"""What an outage and a pool tell: records that a formatter writes out, metrics that a reader collects."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import OperationalError

from azpg_backend.telemetry import names
from demo_project.localpg import LocalPostgres
from tests.support.children import ended, forked
from tests.support.settings import HOST, SettingsFor
from tests.support.telemetry import metered, recorded
from tests.support.waiting import LIMIT, until

Connect = Callable[..., Any]
PATIENT = {"azpg": {"connect_retry_seconds": 60}}
BY_NAME = {each.name: each for each in names.EVENTS}


def query(wrapper: Any) -> None:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_a_restart_is_seen(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded() as records, metered(monkeypatch) as meters:
        wrapper = connect(settings_for(own_server, PATIENT), "shop")
        query(wrapper)
        wrapper.close()
        own_server.stop()
        back = threading.Thread(target=lambda: (until(lambda: "outage.began" in records.events()), own_server.start()))
        back.start()
        query(wrapper)
        back.join()
        assert records.events()[0] == "connection.opened"
        assert records.events()[1] == "outage.began"
        assert records.events()[-2:] == ["outage.ended", "connection.opened"]
        assert "connection.retried" in records.events()
        for each in records.found:
            event = BY_NAME[each["azpg_event"]]
            assert {key for key in each if key.startswith("azpg_")} == {f"azpg_{key}" for key in ("event", *event.keys)}
            assert each["azpg_alias"] == "shop"
            assert each["azpg_server"] == f"{HOST}:{own_server.port}"
        began = records.found[1]
        assert began["azpg_error_type"] in {"login.failed", "login.starting_up"}
        server = {"db.system.name": "postgresql", "server.address": HOST, "server.port": own_server.port}
        alias = {**server, "db.client.connection.pool.name": "shop"}
        points = meters.points()
        assert points[names.CREATE_TIME.name] == [(alias, 2)]
        assert points[names.OUTAGE_DURATION.name] == [(server, 1)]
        assert points[names.OUTAGE_ACTIVE.name] == [(server, 0)]
        retries = records.events().count("connection.retried")
        assert meters.total(names.RETRIES) == retries
        assert meters.total(names.ATTEMPTS) == retries + 2


def test_a_server_that_is_down_is_active_and_rejects(
    own_server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.stop()
    wrapper = connect(settings_for(own_server, {"azpg": {"connect_retry_seconds": 0.5}}), "shop")
    with recorded() as records, metered(monkeypatch) as meters:

        def rejected() -> bool:
            with pytest.raises(OperationalError):
                query(wrapper)
            return "connection.rejected" in records.events()

        until(rejected)
        assert meters.points()[names.OUTAGE_ACTIVE.name][0][1] == 1
        assert meters.total(names.REJECTIONS) >= 1
        assert meters.total(names.FAILURES) >= 1
        assert meters.total(names.OUTAGES) == 1


def test_what_is_permanent_is_told_by_its_code(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded() as records, metered(monkeypatch) as meters:
        with pytest.raises(OperationalError):
            query(connect(settings_for(server, PASSWORD="s3ntinel-9f2c")))
        ((attributes, count),) = meters.points()[names.FAILURES.name]
        assert (attributes["error.type"], count) == ("login.wrong_password", 1)
        assert records.events() == ["connection.failed"]
        assert "s3ntinel" not in str(records.found) + str(meters.points())


@pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
def test_a_pool_is_counted_while_it_lives(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = {"min_size": 2, "max_size": 2, "timeout": 0.5}
    settings = settings_for(server, {"pool": pool})
    with recorded() as records, metered(monkeypatch) as meters:
        wrappers = [connect(settings, "pooled") for _ in range(3)]
        for each in wrappers[:2]:
            query(each)
        states = {"idle": 0, "used": 2}
        until(lambda: counted(meters) == states)
        assert [value for _, value in meters.points()[names.POOL_MAX.name]] == [2]
        with pytest.raises(OperationalError):
            query(wrappers[2])
        timeout = records.found[records.events().index("pool.timeout")]
        assert (timeout["azpg_alias"], timeout["azpg_waiting"]) == ("pooled", 0)
        assert meters.total(names.POOL_TIMEOUTS) == 1
        assert meters.total(names.POOL_WAIT) == 2
        wrappers[0].close()
        until(lambda: counted(meters) == {"idle": 1, "used": 1})
        wrappers[1].close()
        wrappers[0]._connection_pools.pop("pooled").close()
        until(lambda: names.POOL_MAX.name not in meters.points())


@pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
def test_a_pool_that_is_not_open_has_no_figures(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While something still refers to it."""
    with metered(monkeypatch) as meters:
        wrapper = connect(settings_for(server, {"pool": {"min_size": 2, "max_size": 2}}), "pooled")
        pool = wrapper.pool
        query(connect(settings_for(server)))
        assert pool.closed
        assert names.POOL_COUNT.name not in meters.points()
        query(wrapper)
        assert meters.points()[names.POOL_MAX.name][0][1] == 2
        wrapper.close()
        wrapper.close_pool()
        assert names.POOL_COUNT.name not in meters.points()
        assert pool.closed


@pytest.mark.skipif(not is_psycopg3, reason="Django's pool needs psycopg 3")
@pytest.mark.parametrize("checked", [False, True])
def test_connections_that_broke_are_counted(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    """Found by the look before it is given out, or by the request that got it."""
    settings = settings_for(server, {"pool": {"min_size": 1, "max_size": 1}}, CONN_HEALTH_CHECKS=checked)
    with metered(monkeypatch) as meters:
        wrapper = connect(settings, "pooled")
        query(wrapper)
        assert meters.total(names.POOL_LOST) == 0
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (process,) = cursor.fetchone()
        wrapper.close()
        server.sql(f"SELECT pg_terminate_backend({process})")
        until(lambda: server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {process}") == "0")
        with contextlib.suppress(OperationalError):
            query(wrapper)
        wrapper.close()
        until(lambda: meters.total(names.POOL_LOST) == 1)


def counted(meters: Any) -> dict[str, float]:
    return {each["db.client.connection.state"]: value for each, value in meters.points()[names.POOL_COUNT.name]}


def test_a_forked_child_counts_for_itself(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with metered(monkeypatch) as meters:
        wrapper = connect(settings_for(server))
        query(wrapper)

        def work() -> None:
            query(wrapper)
            os.write(written, str(meters.total(names.ATTEMPTS)).encode())

        read, written = os.pipe()
        assert ended(forked(work), time.monotonic() + LIMIT)
        # OpenTelemetry's own counter goes on from where the parent's was.
        assert os.read(read, 9) == b"2"
        assert meters.total(names.ATTEMPTS) == 1
        os.close(read)
        os.close(written)
