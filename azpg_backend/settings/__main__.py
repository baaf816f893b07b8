"""``python -m azpg_backend.settings``: print the snippet for settings.py that fits the environment."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from azpg_backend.plan import hosts
from azpg_backend.plan.decision import decide
from azpg_backend.settings import choice, snippet
from azpg_backend.settings.entry import Login, Wishes

_DESCRIPTION = """\
Print the DATABASES for settings.py that fits this environment. Secrets are looked up in os.environ by the snippet, and
no value of any variable is shown. What the environment leaves open is said on standard error.
"""
_MORE = """\
what is understood:
  AZURE_POSTGRESQL_*      from Service Connector, for Django (HOST, NAME, USER, ...) or as one CONNECTIONSTRING, with
                          a password, a managed identity or a service principal
  POSTGRESQLCONNSTR_*     connection strings of App Service; CUSTOMCONNSTR_* too, if it is for PostgreSQL
  DATABASE_URL            azpg://USER:PASSWORD@HOST/NAME, or postgres://; azpgis:// for PostGIS
  DBHOST, DBNAME, ...     Azure's older sample
  PGHOST, PGDATABASE, ... libpq's own, if there is nothing else

examples:
  python -m azpg_backend.settings                     the only database in the environment
  python -m azpg_backend.settings ORDERS              ORDERS_HOST, ORDERS_NAME, ...: a connection called "orders"
  python -m azpg_backend.settings REPORTS_URL         one variable that holds a URL or a connection string
  python -m azpg_backend.settings --plaintext-host db >> settings.py

exit status:
  0  the snippet is complete
  1  there is no snippet, or something to look at: standard error says what
  2  wrong usage
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m azpg_backend.settings",
        description=_DESCRIPTION,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", nargs="?", default="", metavar="SOURCE", help="a variable's name, or the start of several"
    )
    parser.add_argument("--engine", default="", help='such as "azpg_backend.postgis"')
    parser.add_argument("--auth", default="", choices=("entra", "password"), help="how to log in, for a bare URL")
    parser.add_argument(
        "--plaintext-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a development server that may be used without TLS; may be repeated",
    )
    given = parser.parse_args(arguments)
    wishes = Wishes(given.engine, given.auth, given.plaintext_host)
    try:
        found = choice.of(os.environ, given.source)
        entry, notes = choice.entry(os.environ, given.source, "", wishes)
    except ImproperlyConfigured as error:
        print(error, file=sys.stderr)
        return 1
    if found.login is not None:
        sys.stdout.write(snippet.of(entry, found.login, wishes))
        notes += _open_questions(entry, found.login) + _refusals(entry)
    for note in notes:
        print(note, file=sys.stderr)
    return 1 if notes else 0


def _open_questions(entry: dict[str, object], login: Login) -> list[str]:
    """Return what the environment does not tell about the login."""
    notes = []
    options = entry.get("OPTIONS")
    own = options.get("azpg", {}) if isinstance(options, dict) else {}
    if own.get("auth") == "entra" and "credential" not in own:
        notes.append(
            "No password, so the login is by Microsoft Entra; which identity, this environment does not tell. The "
            "snippet leaves it to DefaultAzureCredential: AZURE_CLIENT_ID, the machine's identity, or az login. If "
            "you have a password, set it."
        )
    listed = str(entry["HOST"]).split(",")
    plain = not str(entry["ENGINE"]).startswith("azpg_backend") or own.get("plaintext_on_loopback")
    if not plain and any(hosts.cloud_of(each) is None for each in listed):
        short = any(each and "." not in each and ":" not in each for each in listed)
        full = " (SERVER.postgres.database.azure.com is the full name of one)" if short else ""
        notes.append(
            f"The host is none of Azure's{full}. The engine verifies it all the same, and needs "
            "OPTIONS['sslrootcert'] if its certificate is from another authority. For a development server without "
            "TLS: --plaintext-host."
        )
    if login.ignored:
        notes.append(f"The string also has {', '.join(login.ignored)}, which libpq does not know; left out.")
    return notes


def _refusals(entry: dict[str, Any]) -> list[str]:
    """Return what the engine would refuse, or doubts of the password.

    The problems' own words hold values, so they are left to the check; those on a password never do.
    """
    if not str(entry["ENGINE"]).startswith("azpg_backend"):
        return []
    plan = decide("default", entry, environ={})
    refused = [f"The engine will refuse {each.where} ({each.id}): manage.py check says why." for each in plan.errors]
    return refused + [str(each) for each in plan.problems if each.id == "azpg.W016"]


if __name__ == "__main__":
    sys.exit(main())
