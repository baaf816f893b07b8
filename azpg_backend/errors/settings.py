"""Every mistake and trap in the settings, worded once.

The engine raises it, ``manage.py check`` reports it and ``azpg_check`` shows it, all three in these words.
"""

from __future__ import annotations

from collections.abc import Iterable

from azpg_backend.errors.codes import CHECKS
from azpg_backend.errors.problem import Place, Problem


def _problem(identifier: str, where: Place, message: str, hint: str) -> Problem:
    check = CHECKS[identifier]
    return Problem(check.code, message, hint, check.severity, identifier, where)


def weak_tls(place: Place, value: object, why: str, hint: str) -> Problem:
    return _problem("azpg.E001", place, f"{place} is {value!r}: {why}.", hint)


def invalid(place: Place, problem: str, hint: str) -> Problem:
    return _problem("azpg.E002", place, f"{place} {problem}.", hint)


def missing_host(place: Place) -> Problem:
    return _problem(
        "azpg.E003",
        place,
        f"{place} is empty: there is no name to verify the server's certificate against.",
        "Set HOST to the server's full name, such as 'mydemoserver.postgres.database.azure.com'.",
    )


def not_loopback(place: Place, host: str) -> Problem:
    return _problem(
        "azpg.E004",
        place,
        f"{place} is True, but {host!r} is not a loopback address or a socket directory, and only those may go "
        "without TLS.",
        "Remove plaintext_on_loopback, or point every HOST and hostaddr at 'localhost', 127.0.0.1, ::1 or a socket "
        "directory.",
    )


def entra_with_password(place: Place) -> Problem:
    return _problem(
        "azpg.E006",
        place,
        f"{place} is set, but OPTIONS['azpg']['auth'] is 'entra': there the password is a token that the engine "
        "fetches itself.",
        "Remove the password, or set auth to 'password'.",
    )


def entra_needs_verify_full(place: Place, value: object) -> Problem:
    return _problem(
        "azpg.E007",
        place,
        f"{place} is {value!r} while OPTIONS['azpg']['auth'] is 'entra': a token is sent as it is, so whoever poses as "
        "the server could use it until it ends.",
        "Remove it: for a token only verify-full, which is set for you, is strong enough.",
    )


def no_azure_identity(place: Place) -> Problem:
    return _problem(
        "azpg.E008",
        place,
        f"{place} is 'entra', but azure-identity, which fetches the tokens, is not installed.",
        "Run: pip install \"django-azpg[entra]\"; or name a credential of your own in OPTIONS['azpg']['credential'].",
    )


def verify_ca(place: Place) -> Problem:
    return _problem(
        "azpg.W001",
        place,
        f"{place} is 'verify-ca': the certificate is verified but the server's name is not, so any server with a "
        "certificate from the same authority is accepted.",
        "Use 'verify-full' with the server's own name in HOST; where only its address is reachable, add that as "
        "OPTIONS['hostaddr'].",
    )


def not_azure_host(place: Place, host: str, suffixes: Iterable[str]) -> Problem:
    return _problem(
        "azpg.W002",
        place,
        f"{place} {host!r} is not a name that Azure Database for PostgreSQL gives to a server, and its certificate "
        "will not carry it.",
        f"Use the server's full name from the Azure portal (it ends in {' or '.join(suffixes)}); an address goes "
        "into OPTIONS['hostaddr'] beside it.",
    )


def user_at_server(place: Place, user: str) -> Problem:
    bare = user.partition("@")[0]
    return _problem(
        "azpg.W003",
        place,
        f"{place} is {user!r}: the form user@server belongs to the retired Single Server, and flexible server "
        "answers it with 'password authentication failed'.",
        f"Use {bare!r}.",
    )


def server_side_cursors(place: Place, port: int) -> Problem:
    return _problem(
        "azpg.W004",
        place,
        f"{place} is {port}, Azure's built-in PgBouncer: in transaction mode QuerySet.iterator() fails there with "
        "'cursor \"_django_curs_...\" does not exist'.",
        "Set 'DISABLE_SERVER_SIDE_CURSORS': True beside HOST and PORT.",
    )


def startup_parameter(place: Place, port: int) -> Problem:
    return _problem(
        "azpg.W005",
        place,
        f"{place} is set, but port {port} is Azure's built-in PgBouncer, which ends a connection that asks for "
        "settings at start-up ('unsupported startup parameter').",
        "Set them on the role instead: ALTER ROLE ... SET name = value; or list them in the server parameter "
        "pgbouncer.ignore_startup_parameters, which drops them.",
    )


def session_role(place: Place, port: int) -> Problem:
    return _problem(
        "azpg.W012",
        place,
        f"{place} is set, but port {port} is Azure's built-in PgBouncer: in transaction mode SET ROLE stays with a "
        "server connection that other clients use next, and the next transaction may run without it.",
        "Let the login role have it instead (ALTER ROLE ... SET role = '...'), or use port 5432 for this alias.",
    )


def no_channel_binding(place: Place, port: int) -> Problem:
    return _problem(
        "azpg.W013",
        place,
        f"{place} is 'require', but port {port} is Azure's built-in PgBouncer, which has no channel binding: every "
        "login fails.",
        "Remove it (libpq then uses it wherever the server offers it), or use port 5432.",
    )


def prepared_statements(place: Place, port: int) -> Problem:
    return _problem(
        "azpg.W014",
        place,
        f"{place} turns prepared statements on, but port {port} is Azure's built-in PgBouncer, which by default "
        "forgets them between transactions ('prepared statement \"_pg3_0\" does not exist').",
        "Remove it, or set the server parameter pgbouncer.max_prepared_statements above 0.",
    )


def health_checks(place: Place) -> Problem:
    return _problem(
        "azpg.W006",
        place,
        f"{place} keeps connections open, but CONN_HEALTH_CHECKS is off: after a failover or an idle time-out the "
        "next request of every worker fails once.",
        "Set 'CONN_HEALTH_CHECKS': True beside it.",
    )


def system_roots(place: Place) -> Problem:
    return _problem(
        "azpg.W007",
        place,
        f"{place} is 'system': psycopg's binary packages look for the system's roots in a folder that exists on no "
        "ordinary machine, so every server is refused with 'certificate verify failed'.",
        "Remove sslrootcert to use the roots in this package, or point it at a PEM file.",
    )
