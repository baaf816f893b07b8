"""``manage.py demo``: the whole job, against a real PostgreSQL over TLS on this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from azpg_backend import trust
from demo_project import refusals
from demo_project.localpg import Authority, LocalPostgres, LocalPostgresError, azure_chain
from demo_project.notes.connection import seen_by_server
from demo_project.notes.models import Note
from demo_project.page import serving

HOST = "demo.postgres.database.azure.com"
USER = "demo"
USAGE_ERROR = 2


class Command(BaseCommand):
    help = (
        "Start a real PostgreSQL over TLS on this machine, with a certificate chain like Azure's, and show what the "
        "engine does with it: migrate, azpg_check, the ORM, and what it refuses. Needs no Azure account."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--faults", action="store_true", help="Show what azpg_check says when something is wrong.")
        instead.add_argument(
            "--serve", action="store_true", help="Keep the server, and show the demo's page in a browser until Ctrl-C."
        )
        parser.add_argument(
            "--address",
            type=serving.address,
            metavar="HOST:PORT",
            help=f"Where --serve listens. Default: {serving.DEFAULT}. Port 0 takes any that is free.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._refuse_misuse(options)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        self._colours = {key: options[key] for key in ("no_color", "force_color")}
        try:
            with contextlib.ExitStack() as ending:
                # First of all: a port that is taken is said at once, and nothing has been started.
                page = ending.enter_context(serving.listen(_address(options))) if options["serve"] else None
                server = ending.enter_context(self._local_server())
                if options["faults"]:
                    self._show_faults(server)
                else:
                    self._show(server)
                if page is not None:
                    self._serve(page)
        except LocalPostgresError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. The server is stopped and its files are gone.")
            raise SystemExit(128 + signal.SIGINT) from None
        finally:
            connections.close_all()
        self.stdout.write("\nThe server is stopped and its files are gone.")
        if not options["faults"] and not options["serve"]:
            self.stdout.write("Add --serve to see it in a browser, or --faults to see what azpg_check says of faults.")

    def _refuse_misuse(self, options: dict[str, Any]) -> None:
        if options["address"] and not options["serve"]:
            raise CommandError("--address says where --serve listens: add --serve.", returncode=USAGE_ERROR)
        if "AZURE_POSTGRESQL_HOST" in os.environ:
            raise CommandError(
                "AZURE_POSTGRESQL_HOST is set, and the demo writes only into the server that it starts itself. Unset "
                "the variable to see the demo, or run manage.py azpg_check to test the connection to your server."
            )

    @contextlib.contextmanager
    def _local_server(self) -> Iterator[LocalPostgres]:
        """Start the server, and point DATABASES at it."""
        self._say("1. Start PostgreSQL with TLS; its certificate chain is like Azure's")
        chain = azure_chain(HOST)
        password = secrets.token_urlsafe(16)
        with LocalPostgres(chain) as server:
            server.create(USER, password, USER)
            # Azure's roots and the demo's: no public authority certifies a server on this machine. What lies in the
            # server's folder goes when the server goes, however this process ends.
            root_file = server.folder / "azure-and-demo-roots.pem"
            root_file.write_text(Path(trust.BUNDLE).read_text("ascii") + chain.root_pem, "ascii")
            options = {"hostaddr": server.host, "sslrootcert": str(root_file)}
            connections["default"].settings_dict.update(
                NAME=USER, USER=USER, PASSWORD=password, HOST=HOST, PORT=server.port, OPTIONS=options
            )
            self.stdout.write(
                f"   It listens on {server.host}:{server.port}; its certificate says {HOST}.\n"
                "   DATABASES has what a real server needs, and two options that only the demo needs:\n"
                '     "ENGINE": "azpg_backend",\n'
                f'     "HOST": "{HOST}", "PORT": {server.port},\n'
                f'     "NAME": "{USER}", "USER": "{USER}", "PASSWORD": (made for this run),\n'
                '     "OPTIONS": {"hostaddr": (this machine), "sslrootcert": (Azure\'s roots and the demo\'s)}'
            )
            try:
                yield server
            finally:
                connections.close_all()

    def _show(self, server: LocalPostgres) -> None:
        self._say("2. Create the tables: manage.py migrate")
        call_command("migrate", **self._colours)
        self._say("3. Check the connection: manage.py azpg_check --offline")
        call_command("azpg_check", offline=True, **self._colours)
        self._say("4. Write and read with Django's ORM")
        Note.objects.create(text="Written over verified TLS")
        for note in Note.objects.all():
            self.stdout.write(f"   {note.created:%H:%M:%S}  {note.text}")
        seen = seen_by_server()
        if not seen.tls:
            raise CommandError("The server sees no TLS. This is a bug: please report it.")
        self.stdout.write(f"   The server sees (pg_stat_ssl): {seen.protocol}, {seen.cipher}")
        self._say("5. Connect with one thing wrong each time")
        for attempt in refusals.with_this_engine(server.folder):
            if attempt.accepted:
                raise CommandError(f"The engine did this and connected: {attempt.what}. Please report this bug.")
            self._outcome(attempt)
        self._outcome(refusals.with_djangos_own())
        self.stdout.write(
            '\nWith one line, "ENGINE": "azpg_backend", Django talks only to the server that HOST names, certified by\n'
            "a root that you trust, over TLS 1.2 or newer. Any other server is refused before it sees the password."
        )

    def _show_faults(self, server: LocalPostgres) -> None:
        good = connections["default"].settings_dict

        def check(alias: str, what: str, **changes: Any) -> None:
            connections.settings[alias] = {**good, **changes}
            self._say(f"{what}: manage.py azpg_check {alias} --offline")
            with contextlib.suppress(SystemExit):
                call_command("azpg_check", alias, offline=True, timeout=5, **self._colours)

        check("wrong_password", "The password is wrong", PASSWORD=secrets.token_urlsafe(8))
        pinned = server.folder / "pinned.pem"
        pinned.write_text(server.chain.issuing.pem, "ascii")
        options = {**good["OPTIONS"], "sslrootcert": str(pinned)}
        check("pinned_intermediate", "The CA file holds an intermediate, not a root", OPTIONS=options)
        server.use_chain(azure_chain(HOST, Authority.root("Contoso TLS Inspection Root")))
        check("inspecting_proxy", "A device on the way opens the TLS connection")
        server.stop()
        check("stopped_server", "The server does not run")

    def _outcome(self, attempt: refusals.Attempt) -> None:
        word = self.style.ERROR("accepted") if attempt.accepted else self.style.SUCCESS("refused")
        self.stdout.write(f"   {attempt.what}:\n     {word} ({attempt.why})")

    def _serve(self, page: serving.ThreadedWSGIServer) -> None:
        here = serving.bound(page)
        shown = here._replace(host="127.0.0.1" if here.host == "0.0.0.0" else "::1") if here.everywhere else here  # noqa: S104
        self._say(f"6. Open the demo's page: http://{shown}/  (Ctrl-C stops page and server)")
        if not here.local:
            self.stdout.write(self.style.WARNING("   Whoever reaches this machine can read the page and write notes."))
        self.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            serving.serve(page)

    def _say(self, heading: str) -> None:
        self.stdout.write("\n" + self.style.MIGRATE_HEADING(heading))


def _address(options: dict[str, Any]) -> serving.Address:
    return options["address"] or serving.DEFAULT
