"""``manage.py demo``: the whole job, against a real PostgreSQL over TLS on this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.db.utils import ConnectionHandler, OperationalError

from azpg_backend import trust
from demo_project.localpg import Authority, LocalPostgres, LocalPostgresError, azure_chain
from demo_project.notes.connection import seen_by_server
from demo_project.notes.models import Note

HOST = "demo.postgres.database.azure.com"
USER = "demo"


class Command(BaseCommand):
    help = (
        "Start a real PostgreSQL over TLS on this machine, with a certificate chain of Azure's shape, and show what "
        "the engine does with it: migrate, azpg_check, the ORM, and being refused when one thing is wrong."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--faults", action="store_true", help="Show instead what azpg_check says when something is wrong."
        )
        parser.add_argument("--serve", action="store_true", help="Then serve the demo's page until Ctrl-C.")
        parser.add_argument(
            "--address", default="127.0.0.1:8000", help="Where --serve listens. Default: 127.0.0.1:8000."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if "AZURE_POSTGRESQL_HOST" in os.environ:
            raise CommandError(
                "AZURE_POSTGRESQL_HOST is set, and the demo would write into that server. Run manage.py azpg_check to "
                "test the connection to it, or unset the variable to see the demo on a server of its own."
            )
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            with self._local_server() as server:
                colours = {key: options[key] for key in ("no_color", "force_color")}
                if options["faults"]:
                    self._show_faults(server, colours)
                else:
                    self._show(colours)
                if options["serve"]:
                    self._serve(options["address"])
        except LocalPostgresError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            self.stderr.write("Interrupted.")
            raise SystemExit(128 + signal.SIGINT) from None
        finally:
            connections.close_all()
        self.stdout.write("\nThe server is stopped and its files are gone.")

    @contextlib.contextmanager
    def _local_server(self) -> Iterator[LocalPostgres]:
        """Start the server, and point DATABASES at it."""
        self._say("1. A PostgreSQL server with TLS, its certificate chain like Azure's")
        chain = azure_chain(HOST)
        password = secrets.token_urlsafe(16)
        with tempfile.TemporaryDirectory(prefix="azpg-demo-") as folder, LocalPostgres(chain) as server:
            server.create(USER, password, USER)
            root_file = Path(folder, "azure-and-demo-roots.pem")
            # The roots of Azure and the one of this demo: no public authority certifies a server on this machine.
            root_file.write_text(Path(trust.BUNDLE).read_text("ascii") + chain.root_pem, "ascii")
            options = {"hostaddr": server.host, "sslrootcert": str(root_file)}
            connections["default"].settings_dict.update(
                NAME=USER, USER=USER, PASSWORD=password, HOST=HOST, PORT=server.port, OPTIONS=options
            )
            self.stdout.write(f"   It listens on {server.host}:{server.port} and calls itself {HOST}.")
            self.stdout.write(
                "   The settings are those of a real server; only hostaddr and sslrootcert are for the demo."
            )
            try:
                yield server
            finally:
                connections.close_all()

    def _show(self, colours: dict[str, bool]) -> None:
        self._say("2. manage.py migrate")
        call_command("migrate", **colours)
        self._say("3. manage.py azpg_check --offline")
        call_command("azpg_check", offline=True, **colours)
        self._say("4. Django's ORM over the same connection")
        Note.objects.create(text="Written over verified TLS")
        for note in Note.objects.all():
            self.stdout.write(f"   {note.created:%H:%M:%S}  {note.text}")
        seen = seen_by_server()
        self.stdout.write(f"   pg_stat_ssl, the server's own view: ssl={seen.tls}, {seen.protocol}, {seen.cipher}")
        if not seen.tls:
            raise CommandError("The server sees no TLS. This is a bug: please report it.")
        self._say("5. The same server with one thing wrong")
        with tempfile.TemporaryDirectory(prefix="azpg-demo-") as folder:
            impostor = Path(folder, "other-root.pem")
            impostor.write_text(Authority.root("Demo Global Root G2").pem, "ascii")
            self._refused("another root, of the same name", OPTIONS={"sslrootcert": str(impostor)})
        self._refused("another name in HOST", HOST="other.postgres.database.azure.com")
        self._refused("only the roots that come with the package", OPTIONS={"sslrootcert": None})
        self._accepted_by_stock()
        self.stdout.write(
            '\nWhat you saw: one line, "ENGINE": "azpg_backend", and Django talks only to the server that HOST names,\n'
            "certified by a root that you trust, with TLS 1.2 or newer. Everybody else is refused before the password\n"
            "is sent."
        )

    def _show_faults(self, server: LocalPostgres, colours: dict[str, bool]) -> None:
        good = connections["default"].settings_dict

        def check(alias: str, **changes: Any) -> None:
            connections.settings[alias] = {**good, **changes}
            self._say(f"manage.py azpg_check {alias} --offline")
            with contextlib.suppress(SystemExit):
                call_command("azpg_check", alias, offline=True, timeout=5, **colours)

        check("wrong_password", PASSWORD=secrets.token_urlsafe(8))
        with tempfile.TemporaryDirectory(prefix="azpg-demo-") as folder:
            pinned = Path(folder, "pinned.pem")
            pinned.write_text(server.chain.issuing.pem, "ascii")
            check("pinned_intermediate", OPTIONS={**good["OPTIONS"], "sslrootcert": str(pinned)})
        server.use_chain(azure_chain(HOST, Authority.root("Contoso TLS Inspection Root")))
        check("inspecting_proxy")
        server.stop()
        check("stopped_server")

    def _refused(self, what: str, **changes: Any) -> None:
        try:
            with _changed(changes).cursor():
                pass
        except OperationalError as error:
            said = str(error).splitlines()[0].partition(" failed: ")[2]
            self.stdout.write(f"   {what}: {self.style.SUCCESS('refused')} ({said})")
        else:
            raise CommandError(f"The engine accepted {what}. This is a bug: please report it.")

    def _accepted_by_stock(self) -> None:
        """The contrast: Django's own engine, with the sslmode of Microsoft's samples, talks to anybody."""
        changes = {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "other.postgres.database.azure.com",
            "OPTIONS": {"sslmode": "require", "sslrootcert": None},
        }
        with _changed(changes).cursor() as cursor:
            cursor.execute("SELECT 1")
        self.stdout.write(
            f"   the same wrong name with Django's own engine and sslmode=require: {self.style.ERROR('accepted')}"
        )

    def _serve(self, address: str) -> None:
        self._say(f"6. The demo's page: http://{address}/ (Ctrl-C to stop)")
        with contextlib.suppress(KeyboardInterrupt):
            call_command("runserver", address, use_reloader=False)

    def _say(self, heading: str) -> None:
        self.stdout.write("\n" + self.style.MIGRATE_HEADING(heading))


def _changed(changes: dict[str, Any]) -> Any:
    """Return a connection with other settings than the default alias's."""
    settings = connections["default"].settings_dict
    options = {**settings["OPTIONS"], **changes.get("OPTIONS", {})}
    kept = {key: value for key, value in options.items() if value is not None}
    return ConnectionHandler({"default": {**settings, **changes, "OPTIONS": kept}})["default"]
