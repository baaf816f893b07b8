"""Tokens as passwords through a real PgBouncer in transaction mode. test_pgbouncer.py has what passwords share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connections, transaction

from azpg_backend.plan import hosts
from demo_project.localpg import LocalPostgres
from demo_project.notes.models import Note
from tests.support.diagnosis import step
from tests.support.pgbouncer import PgBouncer, needs_pgbouncer
from tests.support.settings import EntraSettings
from tests.support.standins import UAMI, Issuer, jwt

pytestmark = needs_pgbouncer

Databases = Callable[..., None]


@pytest.fixture
def bouncer(token_server: LocalPostgres, issuer: Issuer) -> Iterator[PgBouncer]:
    """A PgBouncer that knows two identities, each with its one token."""
    issuer.claims = {"one": {"xms_mirid": UAMI + "app"}, "two": {"xms_mirid": UAMI + "other"}}
    issuer.fixed = {client: jwt(claims, 1500) for client, claims in issuer.claims.items()}
    token_server.sql("DROP ROLE IF EXISTS other; CREATE ROLE other LOGIN")
    with PgBouncer(token_server) as running:
        running.know("app", issuer.fixed["one"])
        running.know("other", issuer.fixed["two"])
        yield running


@pytest.fixture
def aliases(bouncer: PgBouncer, entra_settings: EntraSettings, databases: Databases) -> None:
    """Two aliases through PgBouncer, each for an identity, whose name follows from its token."""

    def alias(client: str) -> dict[str, object]:
        settings = entra_settings(bouncer.port, {"credential_kwargs": {"client_id": client}})
        kept = {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
        return {**settings, **kept, "USER": "", "DISABLE_SERVER_SIDE_CURSORS": True}

    databases(default=alias("one"), other=alias("two"))


def test_work_of_the_orm(aliases: None) -> None:
    with connections["default"].schema_editor() as editor:
        editor.create_model(Note)
    try:
        Note.objects.bulk_create([Note(text=str(number)) for number in range(300)])
        read = 0
        for note in Note.objects.iterator(chunk_size=50):
            # Other work in between, on what may be another server connection.
            read += Note.objects.filter(id=note.id).exists()
        assert read == 300
        # As between two requests.
        connections["default"].close_if_unusable_or_obsolete()
        assert Note.objects.count() == 300
    finally:
        with connections["default"].schema_editor() as editor:
            editor.delete_model(Note)


def test_state_of_a_transaction_stays_in_it(aliases: None) -> None:
    with transaction.atomic(), connections["default"].cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '7s'")
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("7s",)
    with connections["default"].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)


def test_two_identities_stay_apart(aliases: None, issuer: Issuer) -> None:
    for _ in range(3):
        for alias, user in (("default", "app"), ("other", "other")):
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT current_user, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())")
                assert cursor.fetchone() == (user, True)
            connections[alias].close()
    assert sorted(each["client_id"] for each in issuer.requests) == ["one", "two"]


@pytest.mark.parametrize("size, enters", [(2020, True), (2100, False)])
def test_a_token_beyond_pgbouncers_limit_is_told(
    bouncer: PgBouncer,
    issuer: Issuer,
    entra_settings: EntraSettings,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    enters: bool,
) -> None:
    """The releases up to 1.25 take passwords of at most 2047 bytes."""
    if not enters and bouncer.version >= (1, 26):
        pytest.skip("this PgBouncer takes long tokens")
    issuer.fixed["one"] = jwt(issuer.claims["one"], size)
    bouncer.know("app", issuer.fixed["one"])
    monkeypatch.setattr(hosts, "PGBOUNCER_PORTS", {bouncer.port})
    settings = entra_settings(bouncer.port, {"credential_kwargs": {"client_id": "one"}})
    databases(default={**settings, "DISABLE_SERVER_SIDE_CURSORS": True})
    login = step("login")
    assert (login["status"] == "pass") == enters
    if not enters:
        assert login["code"] == "login.token_failed"
        assert "longer than the 2047 bytes" in login["hint"]
