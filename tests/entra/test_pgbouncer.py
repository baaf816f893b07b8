"""A real PgBouncer over TLS in transaction mode, between the engine and PostgreSQL, with a token as the password."""

from __future__ import annotations

import contextlib
import gc
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, models, transaction
from django.db.utils import OperationalError

from azpg_backend import hosts
from demo_project.localpg import Chain, LocalPostgres
from demo_project.localpg.server import account, free_port
from tests.entra.conftest import EntraSettings
from tests.entra.standins import UAMI, Issuer, jwt
from tests.entra.test_check import step

PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

# Azure's own settings, as its documentation has them: no start-up parameter is let through.
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = 2
auth_type = plain
auth_file = {folder}/users
client_tls_sslmode = require
client_tls_cert_file = {folder}/server.pem
client_tls_key_file = {folder}/server.key
server_tls_sslmode = require
"""


class Item(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "pgbouncer"


class Bouncer:
    """A running PgBouncer. port: where it listens. version: its own, as numbers."""

    def __init__(self, server: LocalPostgres, chain: Chain, folder: Path) -> None:
        self.port = free_port()
        self._server = server
        self._folder = folder
        self._account = account()
        self._tokens: dict[str, str] = {}
        said = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True).stdout
        self.version = tuple(map(int, said.split()[1].split(".")[:2]))
        self._write("pgbouncer.ini", CONFIGURATION.format(server=server.port, port=self.port, folder=folder))
        self._write("server.pem", chain.server_pem)
        self._write("server.key", chain.key_pem)

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)
        if self._account:
            shutil.chown(self._folder / name, self._account["user"])

    def know(self, user: str, token: str) -> None:
        """Let a role log in with this token from now on."""
        self._server.sql(f"ALTER ROLE {user} PASSWORD '{token}'")
        self._tokens[user] = token
        self._write("users", "".join(f'"{each}" "{text}"\n' for each, text in self._tokens.items()))
        if hasattr(self, "_process"):
            self._process.send_signal(signal.SIGHUP)
            time.sleep(0.5)

    @contextlib.contextmanager
    def running(self) -> Iterator[Bouncer]:
        for parent in (self._folder, *self._folder.parents):
            with contextlib.suppress(OSError):
                parent.chmod(parent.stat().st_mode | 0o111)
        command = [str(PROGRAM), str(self._folder / "pgbouncer.ini")]
        with (
            open(self._folder / "log", "wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log, **self._account) as self._process,
        ):
            try:
                self._wait()
                yield self
            finally:
                self._process.terminate()

    def _wait(self) -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text())


@pytest.fixture
def bouncer(token_server: LocalPostgres, chain: Chain, issuer: Issuer, tmp_path_factory: Any) -> Iterator[Bouncer]:
    """A PgBouncer that knows two identities, each with its one token."""
    issuer.claims = {"one": {"xms_mirid": UAMI + "app"}, "two": {"xms_mirid": UAMI + "other"}}
    issuer.fixed = {client: jwt(claims, 1500) for client, claims in issuer.claims.items()}
    token_server.sql("DROP ROLE IF EXISTS other; CREATE ROLE other LOGIN")
    made = Bouncer(token_server, chain, Path(tmp_path_factory.mktemp("pgbouncer")))
    made.know("app", issuer.fixed["one"])
    made.know("other", issuer.fixed["two"])
    with made.running() as running:
        yield running


@pytest.fixture
def through(
    bouncer: Bouncer, entra_settings: EntraSettings, databases: Callable[..., None]
) -> Iterator[Callable[..., Any]]:
    """Return a function that sends the default alias through PgBouncer, with the table of Item there."""

    def use(**changes: Any) -> None:
        settings = {
            **entra_settings(bouncer.port, {"credential_kwargs": {"client_id": "one"}}),
            "USER": "",
            "DISABLE_SERVER_SIDE_CURSORS": True,
            **changes,
        }
        other = {**settings, "OPTIONS": {**settings["OPTIONS"]}}
        other["OPTIONS"]["azpg"] = {**other["OPTIONS"]["azpg"], "credential_kwargs": {"client_id": "two"}}
        databases(default=settings, other=other)
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS pgbouncer_item")
        with connections["default"].schema_editor() as editor:
            editor.create_model(Item)
        Item.objects.bulk_create([Item(name=str(number)) for number in range(300)])

    yield use


def test_iterator_reads_all_rows(through: Callable[..., None]) -> None:
    through()
    names = []
    for item in Item.objects.order_by("id").iterator(chunk_size=50):
        # Other work in between, on what may be another server connection.
        assert Item.objects.filter(id=item.id).exists()
        names.append(item.name)
    assert names == [str(number) for number in range(300)]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_iterator_fails_as_the_warning_says_without_the_setting(through: Callable[..., None]) -> None:
    def read() -> None:
        items = Item.objects.iterator(chunk_size=50)
        next(items)
        # Another client takes the server connection that the cursor is on.
        busy = connections["default"].copy()
        try:
            busy.set_autocommit(False)
            with busy.cursor() as cursor:
                cursor.execute("SELECT 1")
            with pytest.raises(Exception, match='cursor "_django_curs_.*" does not exist'):
                list(items)
        finally:
            busy.rollback()
            busy.close()

    through(DISABLE_SERVER_SIDE_CURSORS=False)
    read()
    # The driver warns of the cursor that was lost, here and not in the middle of another test.
    gc.collect()


def test_transactions_hold_together(through: Callable[..., None]) -> None:
    through()
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        Item.objects.all().delete()
        with transaction.atomic():
            Item.objects.create(name="kept?")
        raise ZeroDivisionError
    assert Item.objects.count() == 300
    with transaction.atomic():
        locked = Item.objects.select_for_update().first()
        assert locked is not None
        locked.name = "changed"
        locked.save()
    assert Item.objects.filter(name="changed").count() == 1


def test_state_of_a_transaction_stays_in_it(through: Callable[..., None]) -> None:
    through()
    with transaction.atomic(), connections["default"].cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '7s'")
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("7s",)
    with connections["default"].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)


def test_two_identities_stay_apart(through: Callable[..., None], issuer: Issuer) -> None:
    through()
    for _ in range(3):
        for alias, user in (("default", "app"), ("other", "other")):
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT current_user, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())")
                assert cursor.fetchone() == (user, True)
            connections[alias].close()
    assert sorted(each["client_id"] for each in issuer.requests) == ["one", "two"]


def test_start_up_settings_are_refused_with_words(
    bouncer: Bouncer, entra_settings: EntraSettings, databases: Callable[..., None]
) -> None:
    azpg = {"credential_kwargs": {"client_id": "one"}}
    databases(default=entra_settings(bouncer.port, azpg, options="-c statement_timeout=5000"))
    with pytest.raises(OperationalError, match=r"ALTER ROLE \.\.\. SET"):
        connections["default"].cursor()


def test_health_checks_and_kept_connections(through: Callable[..., None]) -> None:
    through(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    for _ in range(3):
        connections["default"].close_if_unusable_or_obsolete()
        assert Item.objects.count() == 300


@pytest.mark.parametrize("size, enters", [(2020, True), (2100, False)])
def test_a_token_beyond_pgbouncers_limit_is_told(
    bouncer: Bouncer,
    issuer: Issuer,
    entra_settings: EntraSettings,
    databases: Callable[..., None],
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
