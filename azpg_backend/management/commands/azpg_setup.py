"""``manage.py azpg_setup``: print the settings for a server, with the SQL that makes their role."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from azpg_backend.azure import draft, places, reading, refusals, shown
from azpg_backend.azure.draft import Wanted
from azpg_backend.azure.facts import Server
from azpg_backend.diagnosis.bounded import Deadline, Task
from azpg_backend.entra import login
from azpg_backend.entra.login import Source
from azpg_backend.entra.tokens import TokenError
from azpg_backend.errors.problem import Problem
from azpg_backend.management.examples import CommandWithExamples
from azpg_backend.management.numbers import seconds
from azpg_backend.management.printing import Printer
from azpg_backend.plan import hosts, resource_id
from azpg_backend.plan.hosts import Cloud
from azpg_backend.plan.resource_id import ResourceId
from azpg_backend.settings import choice, snippet
from azpg_backend.settings.entry import Wishes

USAGE_ERROR = 2
CLOUDS = {cloud.name: cloud for cloud in reversed(hosts.CLOUDS)}
EPILOG = f"""\
where the server comes from:
  a resource id    /subscriptions/...: Azure is asked, read-only (extra [azure], role Reader). Without either, the
                   settings follow from the id alone
  a file, or -     what {shown.COMMAND} prints
  nothing          Service Connector's variables, AZURE_POSTGRESQL_*, and whatever else
                   python -m azpg_backend.settings understands

examples:
  az postgres flexible-server show -g shop -n demo -o json | manage.py azpg_setup - --role my-identity
  manage.py azpg_setup /subscriptions/.../flexibleServers/demo --role my-web-app --database app
  manage.py azpg_setup server.json --auth password --role app --pgbouncer
  manage.py azpg_setup                         what this environment's variables say

what to do with it:
  1. Put the first part into settings.py. Nothing is edited, and no secret is printed: the password stays in a variable.
  2. Run the second part once with psql: as a Microsoft Entra administrator for an identity's role, as the server's
     administrator for a role with a password. Leave out what is there already.
  3. manage.py azpg_check --azure says whether it works.

exit status:
  0  printed
  1  printed, with something to look at on standard error
  2  wrong usage, or a source that can't be read
"""


class Command(CommandWithExamples):
    epilog = EPILOG
    help = "Print DATABASES for a server in Azure, with the SQL that makes its role. Nothing is changed anywhere."
    # It is for projects whose settings are not there yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("source", nargs="?", default="", metavar="SOURCE", help="A resource id, a JSON file, - or nothing.")
        add("--role", default="", help="Role of the application: an identity's name. Default: a placeholder.")
        add("--database", default="app", help="Default: app.")
        add("--auth", choices=["entra", "password"], help="Default: entra if the server takes it.")
        add("--pgbouncer", action="store_true", help="Through the built-in PgBouncer, port 6432.")
        add("--postgis", action="store_true", help="With the PostGIS engine.")
        add("--object-id", default="", help="Of the identity, if its name is not unique in the tenant.")
        kinds = ["service", "user", "group"]
        add("--kind", choices=kinds, default="service", help="Of the identity, with --object-id. Default: service.")
        add("--cloud", choices=list(CLOUDS), default="AzureCloud", help="Of a resource id. Default: AzureCloud.")
        add("--timeout", type=seconds, default=10.0, metavar="SECONDS", help="What Azure may take. Default: 10.")

    def handle(self, *args: Any, **options: Any) -> None:
        source = options["source"]
        printer = Printer(self.stdout)
        printer.refuse_closed()
        if options["object_id"] and not re.fullmatch(r"[0-9a-fA-F-]{36}", options["object_id"]):
            raise CommandError("--object-id is not a GUID.", returncode=USAGE_ERROR)
        for name in ("role", "database"):
            if not re.fullmatch(r"[^\x00-\x1f\x7f]{0,63}", options[name]):
                message = f"--{name} is longer than 63 characters, or holds a control character."
                raise CommandError(message, returncode=USAGE_ERROR)
        if source:
            text, notes = _of_server(source, options)
        else:
            text, notes = _of_environment(options)
        printer.print_document(text)
        printer.refuse_loss()
        for note in notes:
            self.stderr.write(note)
        if notes:
            raise SystemExit(1)


def _of_server(source: str, options: dict[str, Any]) -> tuple[str, list[str]]:
    """Return what to print for a server, and what to look at."""
    server, administrators, notes = _server(source, options)
    entra = options["auth"] == "entra" or (not options["auth"] and server.entra)
    role = options["role"] or ("my-identity" if entra else "app")
    engine = "azpg_backend.postgis" if options["postgis"] else "azpg_backend"
    wanted = Wanted(
        engine, options["database"], role, entra, options["pgbouncer"], options["object_id"], options["kind"]
    )
    if not options["role"]:
        notes.append(f"The role {role!r} is a placeholder: give the identity's or role's name with --role.")
    notes += _doubts(server, wanted)
    return _printed(draft.settings(server, wanted), draft.sql(wanted, administrators)), notes


def _doubts(server: Server, wanted: Wanted) -> list[str]:
    notes = []
    if server.state not in {"", "Ready"}:
        notes.append(f"The server is {server.state}.")
    if wanted.entra and not server.entra and server.state:
        notes.append("Microsoft Entra is off on the server. azpg_check --azure has the command that turns it on.")
    if not wanted.entra and not server.password:
        notes.append("The server takes no passwords: leave out --auth password.")
    if wanted.pgbouncer and server.tier == "Burstable":
        notes.append("The tier Burstable has no PgBouncer: leave out --pgbouncer.")
    if not wanted.entra and wanted.role == server.administrator:
        notes.append(f"{wanted.role} is the server's administrator: give the application its own role.")
    return notes


def _server(source: str, options: dict[str, Any]) -> tuple[Server, tuple[str, ...], list[str]]:
    """Return the server, its Microsoft Entra administrators, and why Azure did not tell of it."""
    if source.startswith("/subscriptions/"):
        try:
            wanted = resource_id.parse(source)
        except ValueError:
            message = f"That is not the resource id of a flexible server: {resource_id.EXAMPLE}"
            raise CommandError(message, returncode=USAGE_ERROR) from None
        return _asked(wanted, CLOUDS[options["cloud"]], options["timeout"])
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8-sig")
        return shown.server_of(text), (), []
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CommandError(f"The file can't be read: {reason}", returncode=USAGE_ERROR) from None
    except shown.NotAServer as error:
        raise CommandError(f"That is no server: {error}", returncode=USAGE_ERROR) from None


def _asked(wanted: ResourceId, cloud: Cloud, seconds: float) -> tuple[Server, tuple[str, ...], list[str]]:
    """Ask Azure, or make do with the id."""
    problem: Problem
    secrets: list[str] = []
    try:
        return *Task(lambda: _ask(wanted, cloud, seconds, secrets), "azpg-setup").result(seconds), []
    except ImportError as error:
        problem = refusals.not_installed(error)
    except (TokenError, ImproperlyConfigured) as error:
        problem = refusals.no_token(str(error), "On your own machine: az login.")
    except Exception as error:  # noqa: BLE001 (Azure's client raises its own, and an odd answer anything)
        problem = refusals.of(error, "the server", reading.READ_SERVER, secrets)
    server = Server(wanted, f"{wanted.server}{cloud.suffix}", "", entra=True)
    return server, (), [f"{problem} What is printed follows from the id alone."]


def _ask(wanted: ResourceId, cloud: Cloud, seconds: float, secrets: list[str]) -> tuple[Server, tuple[str, ...]]:
    from azpg_backend.azure.client import Azure

    place = places.place_of(f"x{cloud.suffix}")
    elsewhere = cloud is not hosts.CLOUDS[0] and not os.environ.get("AZURE_AUTHORITY_HOST")
    arguments = {"authority": cloud.authority} if elsewhere else {}
    token = login.fetch_once(Source(login.DEFAULT_CREDENTIAL, arguments, place.scope))
    secrets.append(token.text)
    azure = Azure(place, token, Deadline(seconds).left)
    server = reading.one(azure, wanted)
    return server, reading.administrators(azure, server) if server.entra else ()


def _of_environment(options: dict[str, Any]) -> tuple[str, list[str]]:
    """Return what to print for the variables of this environment, and what to look at."""
    wishes = Wishes("azpg_backend.postgis" if options["postgis"] else "", options["auth"] or "")
    try:
        found = choice.of(os.environ)
        entry, notes = choice.entry(os.environ, "", "", wishes)
    except ImproperlyConfigured as error:
        raise CommandError(str(error), returncode=USAGE_ERROR) from None
    if found.login is None:
        message = " ".join([*notes, "Or give a resource id, or the JSON of az: see --help."])
        raise CommandError(message, returncode=USAGE_ERROR)
    own = entry.get("OPTIONS", {}).get("azpg", {})
    role = str.__str__(entry["USER"] or options["role"] or "my-identity")
    database = str.__str__(entry["NAME"])
    wanted = Wanted(
        entry["ENGINE"], database, role, own.get("auth") == "entra", False, options["object_id"], options["kind"]
    )
    return _printed(snippet.of(entry, found.login, wishes), draft.sql(wanted)), notes


def _printed(settings: str, sql: str) -> str:
    return f"# settings.py\n{settings}\n-- SQL, once\n{sql}"
