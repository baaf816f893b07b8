"""Every mistake in the settings, worded once.

The engine raises a finding, ``manage.py check`` reports it and ``azpg_check`` shows it, all three in these words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Finding(NamedTuple):
    """A mistake or a trap in one alias.

    code: the step code of azpg_check, such as "settings.weak_tls".
    id: the system check's id; azpg.E0xx stops the engine, azpg.W0xx does not.
    message: what is wrong, with alias, key and value. hint: what to do.
    """

    code: str
    id: str
    message: str
    hint: str

    @property
    def is_error(self) -> bool:
        return self.id.startswith("azpg.E")

    def __str__(self) -> str:
        return f"{self.message} {self.hint} ({self.id})"


class Place(NamedTuple):
    """A key of one alias, as a reader would look it up in settings.py."""

    alias: str
    key: str = ""

    def __str__(self) -> str:
        if not self.key:
            return f"DATABASES[{self.alias!r}]"
        if self.key.isupper():
            return f"DATABASES[{self.alias!r}][{self.key!r}]"
        if self.key == "azpg" or self.key.startswith("azpg."):
            path = "".join(f"[{part!r}]" for part in self.key.split(".", 1))
            return f"DATABASES[{self.alias!r}]['OPTIONS']{path}"
        return f"DATABASES[{self.alias!r}]['OPTIONS'][{self.key!r}]"


def weak_tls(place: Place, value: object, why: str, hint: str) -> Finding:
    return Finding("settings.weak_tls", "azpg.E001", f"{place} is {value!r}: {why}.", hint)


def invalid(place: Place, problem: str, hint: str) -> Finding:
    return Finding("settings.invalid", "azpg.E002", f"{place} {problem}.", hint)


def missing_host(place: Place) -> Finding:
    return Finding(
        "settings.missing_host",
        "azpg.E003",
        f"{place} is empty: there is no name to verify the server's certificate against.",
        "Set HOST to the server's full name, such as 'mydemoserver.postgres.database.azure.com'.",
    )


def not_loopback(place: Place, host: str) -> Finding:
    return Finding(
        "settings.weak_tls",
        "azpg.E004",
        f"{place} is True, but {host!r} is not a loopback address or a socket directory, and only those may go "
        "without TLS.",
        "Remove plaintext_on_loopback, or point every HOST and hostaddr at 'localhost', 127.0.0.1, ::1 or a socket "
        "directory.",
    )


def entra_with_password(place: Place) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.E006",
        f"{place} is set, but OPTIONS['azpg']['auth'] is 'entra': there the password is a token that the engine "
        "fetches itself.",
        "Remove the password, or set auth to 'password'.",
    )


def entra_needs_verify_full(place: Place, value: object) -> Finding:
    return Finding(
        "settings.weak_tls",
        "azpg.E007",
        f"{place} is {value!r} while OPTIONS['azpg']['auth'] is 'entra': a token is sent as it is, so whoever poses as "
        "the server could use it until it ends.",
        "Remove it: for a token only verify-full, which is set for you, is strong enough.",
    )


def no_azure_identity(place: Place) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.E008",
        f"{place} is 'entra', but azure-identity, which fetches the tokens, is not installed.",
        "Run: pip install \"django-azpg[entra]\"; or name a credential of your own in OPTIONS['azpg']['credential'].",
    )


def verify_ca(place: Place) -> Finding:
    return Finding(
        "settings.verify_ca",
        "azpg.W001",
        f"{place} is 'verify-ca': the certificate is verified but the server's name is not, so any server with a "
        "certificate from the same authority is accepted.",
        "Use 'verify-full' with the server's own name in HOST; where only its address is reachable, add that as "
        "OPTIONS['hostaddr'].",
    )


def not_azure_host(place: Place, host: str, suffixes: Iterable[str]) -> Finding:
    return Finding(
        "settings.not_azure_host",
        "azpg.W002",
        f"{place} {host!r} is not a name that Azure Database for PostgreSQL gives to a server, and its certificate "
        "will not carry it.",
        f"Use the server's full name from the Azure portal (it ends in {' or '.join(suffixes)}); an address goes "
        "into OPTIONS['hostaddr'] beside it.",
    )


def user_at_server(place: Place, user: str) -> Finding:
    bare = user.partition("@")[0]
    return Finding(
        "settings.invalid",
        "azpg.W003",
        f"{place} is {user!r}: the form user@server belongs to the retired Single Server, and flexible server "
        "answers it with 'password authentication failed'.",
        f"Use {bare!r}.",
    )


def server_side_cursors(place: Place, port: int) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.W004",
        f"{place} is {port}, Azure's built-in PgBouncer: in transaction mode QuerySet.iterator() fails there with "
        "'cursor \"_django_curs_...\" does not exist'.",
        "Set 'DISABLE_SERVER_SIDE_CURSORS': True beside HOST and PORT.",
    )


def startup_parameter(place: Place, port: int) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.W005",
        f"{place} is set, but port {port} is Azure's built-in PgBouncer, which ends a connection that asks for "
        "settings at start-up ('unsupported startup parameter').",
        "Set them on the role instead: ALTER ROLE ... SET name = value; or list them in the server parameter "
        "pgbouncer.ignore_startup_parameters, which drops them.",
    )


def session_role(place: Place, port: int) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.W012",
        f"{place} is set, but port {port} is Azure's built-in PgBouncer: in transaction mode SET ROLE stays with a "
        "server connection that other clients use next, and the next transaction may run without it.",
        "Let the login role have it instead (ALTER ROLE ... SET role = '...'), or use port 5432 for this alias.",
    )


def no_channel_binding(place: Place, port: int) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.W013",
        f"{place} is 'require', but port {port} is Azure's built-in PgBouncer, which has no channel binding: every "
        "login fails.",
        "Remove it (libpq then uses it wherever the server offers it), or use port 5432.",
    )


def prepared_statements(place: Place, port: int) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.W014",
        f"{place} turns prepared statements on, but port {port} is Azure's built-in PgBouncer, which by default "
        "forgets them between transactions ('prepared statement \"_pg3_0\" does not exist').",
        "Remove it, or set the server parameter pgbouncer.max_prepared_statements above 0.",
    )


def health_checks(place: Place) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.W006",
        f"{place} keeps connections open, but CONN_HEALTH_CHECKS is off: after a failover or an idle time-out the "
        "next request of every worker fails once.",
        "Set 'CONN_HEALTH_CHECKS': True beside it.",
    )


def system_roots(place: Place) -> Finding:
    return Finding(
        "settings.invalid",
        "azpg.W007",
        f"{place} is 'system': psycopg's binary packages look for the system's roots in a folder that exists on no "
        "ordinary machine, so every server is refused with 'certificate verify failed'.",
        "Remove sslrootcert to use the roots in this package, or point it at a PEM file.",
    )
