"""Every problem of the settings, worded once.

The engine raises it, ``manage.py check`` reports it and ``azpg_check`` shows it, all three in these words.
"""

from __future__ import annotations

from collections.abc import Iterable

from azpg_backend.errors.codes import CHECKS
from azpg_backend.errors.problem import Place, Problem, Severity

FULL_NAME = "the server's full name, such as 'mydemoserver.postgres.database.azure.com'"


def _problem(identifier: str, where: Place | str, message: str, hint: str, severity: Severity | None = None) -> Problem:
    check = CHECKS[identifier]
    return Problem(check.code, message, hint, severity or check.severity, identifier, where)


def weak_tls(where: Place | str, value: object, why: str, hint: str) -> Problem:
    return _problem("azpg.E001", where, f"{where} is {value!r}: {why}.", hint)


def invalid(where: Place | str, problem: str, hint: str) -> Problem:
    return _problem("azpg.E002", where, f"{where} {problem}.", hint)


def missing_host(where: Place | str, service: str = "") -> Problem:
    """Return an error for whoever connects. ``manage.py check`` only warns, because an image is built without one.

    service: the connection service that was to name the host and does not, as it may be shown.
    """
    also, instead = "", ""
    if service:
        also = f", and no service file that was found names a host for the connection service {service}"
        instead = (
            "; or let the service file (PGSERVICEFILE, else ~/.pg_service.conf) have a section of exactly this name "
            "with a line host=..., and nothing before it that can't be seen"
        )
    return _problem(
        "azpg.E003",
        where,
        f"{where} is empty{also}: there is no name to verify the server's certificate against.",
        f"Set HOST to {FULL_NAME}{instead}.",
        Severity.ERROR,
    )


def missing_element(where: Place | str) -> Problem:
    return _problem(
        "azpg.E003",
        where,
        f"{where} is a list with an empty element, which libpq takes for this machine's socket.",
        "Remove the comma that is too much.",
        Severity.ERROR,
    )


def missing_name(where: Place | str) -> Problem:
    """Return an error for whoever connects, and a warning for ``manage.py check``, as for a missing HOST."""
    return _problem(
        "azpg.E009",
        where,
        f"{where} is empty: Django does not connect without the name of a database.",
        "Set NAME to the database's name, or OPTIONS['service'] to a service that names it.",
        Severity.ERROR,
    )


def not_loopback(where: Place | str, host: str) -> Problem:
    return _problem(
        "azpg.E004",
        where,
        f"{where} is True, but {host!r} is not a loopback address or a socket directory, and only those may go "
        "without TLS.",
        "Remove plaintext_on_loopback, or point every HOST and hostaddr at 'localhost', 127.0.0.1, ::1 or a socket "
        "directory.",
    )


def entra_with_password(where: Place | str) -> Problem:
    return _problem(
        "azpg.E006",
        where,
        f"{where} is set, but OPTIONS['azpg']['auth'] is 'entra': the engine fetches a token and sends that as the "
        "password.",
        "Remove the password, or set auth to 'password'.",
    )


def entra_needs_verify_full(where: Place | str, value: object) -> Problem:
    return _problem(
        "azpg.E007",
        where,
        f"{where} is {value!r} while OPTIONS['azpg']['auth'] is 'entra': the token is sent in readable form, so "
        "anyone who poses as the server can use it until it expires.",
        "Remove it: only verify-full, which is set for you, is strong enough for a token.",
    )


def no_azure_identity(where: Place | str) -> Problem:
    return _problem(
        "azpg.E008",
        where,
        f"{where} is 'entra', but azure-identity, which fetches the tokens, is not installed.",
        "Run: pip install \"django-azpg[entra]\"; or name your own credential in OPTIONS['azpg']['credential'].",
    )


def verify_ca(where: Place | str) -> Problem:
    return _problem(
        "azpg.W001",
        where,
        f"{where} is 'verify-ca': the certificate is verified but the server's name is not, so any server with a "
        "certificate from the same authority is accepted.",
        "Use 'verify-full' with the server's own name in HOST; if only its address is reachable, add that as "
        "OPTIONS['hostaddr'].",
    )


def raised_sslmode(where: Place | str, value: object) -> Problem:
    return _problem(
        "azpg.W015",
        where,
        f"{where} is {value!r}, but this backend always verifies the server: it uses 'verify-full' instead.",
        "Remove sslmode; you need no other change.",
    )


def not_azure_host(where: Place | str, host: str, suffixes: Iterable[str]) -> Problem:
    return _problem(
        "azpg.W002",
        where,
        f"{where} {host!r} is not a name that Azure Database for PostgreSQL gives to a server, so the server's "
        "certificate will not match it.",
        f"Use the server's full name from the Azure portal (it ends in one of {', '.join(suffixes)}); an address goes "
        "into OPTIONS['hostaddr'] beside it.",
    )


def local_host(where: Place | str, host: str) -> Problem:
    return _problem(
        "azpg.W002",
        where,
        f"{where} {host!r} is this machine, and the engine insists on verified TLS, which a local PostgreSQL "
        "usually does not have.",
        "To work with a local server, set 'azpg': {'plaintext_on_loopback': True} in OPTIONS. To reach Azure, set "
        f"HOST to {FULL_NAME}. Through a tunnel, set HOST to that name and OPTIONS['hostaddr'] to '127.0.0.1'.",
    )


def short_host(where: Place | str, host: str) -> Problem:
    return _problem(
        "azpg.W002",
        where,
        f"{where} {host!r} looks like a container, or like the short name of a server, and no certificate from Azure "
        "matches it.",
        f"For Azure, set HOST to {FULL_NAME}. For a container on this machine, publish its port, set HOST to "
        "'localhost' and 'azpg': {'plaintext_on_loopback': True} in OPTIONS. For a container beside this one, give "
        "it a certificate and set OPTIONS['sslrootcert'] to its root, or use Django's own engine there.",
    )


def unproven_cloud(where: Place | str, host: str, cloud: str) -> Problem:
    return _problem(
        "azpg.W021",
        where,
        f"{where} {host!r} belongs to the cloud {cloud}, for which Microsoft has not published the root CAs: nobody "
        "has confirmed that the roots in this package are the right ones there.",
        "Ask the cloud's support for the root of the server's certificate, check its fingerprint, and set "
        "OPTIONS['sslrootcert'] to a file with it.",
    )


def user_at_server(where: Place | str, user: str) -> Problem:
    bare = user.rpartition("@")[0]
    return _problem(
        "azpg.W003",
        where,
        f"{where} is {user!r}: the form user@server belongs to the retired Single Server, and flexible server "
        "answers it with 'password authentication failed'.",
        f"Use {bare!r}.",
    )


def no_user(where: Place | str) -> Problem:
    return _problem(
        "azpg.W017",
        where,
        f"{where} is empty, so libpq logs in as the operating system's user, and the server answers 'password "
        "authentication failed' for a name that you never wrote.",
        "Set USER to the name of the PostgreSQL role.",
    )


def doubtful_password(where: Place | str, shape: str, hint: str) -> Problem:
    """Return a warning that names a password's shape; the value is never shown.

    where: the key, or the environment variable.
    shape: a phrase that goes on from "PASSWORD".
    hint: what to do about it.
    """
    return _problem("azpg.W016", where, f"{where} {shape}.", hint)


def relative_path(where: Place | str, value: str) -> Problem:
    return _problem(
        "azpg.W018",
        where,
        f"{where} is {value!r}, a relative path: it names another file, or none, as soon as a process starts in "
        "another folder.",
        "Write the whole path, for example BASE_DIR / ... in settings.py.",
    )


def text_as_flag(where: Place | str, value: str) -> Problem:
    return _problem(
        "azpg.W024",
        where,
        f"{where} is the text {value!r}, and Django takes any text that is not empty for True.",
        "Write True or False without quotes; from the environment: os.environ[...] == 'true'.",
    )


def foreign_key(where: Place | str, package: str) -> Problem:
    return _problem(
        "azpg.W022",
        where,
        f"{where} is a setting of {package}. It is not sent to libpq, and has no effect unless that package reads it.",
        "Remove it if you do not use that package. Django's own pool is OPTIONS['pool'] (with psycopg 3).",
    )


def misplaced_key(where: Place | str, remedy: str) -> Problem:
    return _problem("azpg.W023", where, f"{where} has no effect: neither Django nor this backend reads it.", remedy)


def server_side_cursors(where: Place | str, port: int) -> Problem:
    return _problem(
        "azpg.W004",
        where,
        f"{where} is {port}, Azure's built-in PgBouncer: in transaction mode QuerySet.iterator() fails there with "
        "'cursor \"_django_curs_...\" does not exist'.",
        "Set 'DISABLE_SERVER_SIDE_CURSORS': True beside HOST and PORT.",
    )


def startup_parameter(where: Place | str, port: int) -> Problem:
    return _problem(
        "azpg.W005",
        where,
        f"{where} is set, but port {port} is Azure's built-in PgBouncer, which ends a connection that asks for "
        "settings at start-up ('unsupported startup parameter').",
        "Set them on the role instead: ALTER ROLE ... SET name = value; or list them in the server parameter "
        "pgbouncer.ignore_startup_parameters, which drops them.",
    )


def session_role(where: Place | str, port: int) -> Problem:
    return _problem(
        "azpg.W012",
        where,
        f"{where} is set, but port {port} is Azure's built-in PgBouncer: in transaction mode SET ROLE stays with a "
        "server connection that other clients use next, and the next transaction may run without it.",
        "Set it on the login role instead (ALTER ROLE ... SET role = '...'), or use port 5432 for this alias.",
    )


def no_channel_binding(where: Place | str, port: int) -> Problem:
    return _problem(
        "azpg.W013",
        where,
        f"{where} is 'require', but port {port} is Azure's built-in PgBouncer, which has no channel binding: every "
        "login fails.",
        "Remove it (libpq then uses it whenever the server offers it), or use port 5432.",
    )


def prepared_statements(where: Place | str, port: int) -> Problem:
    return _problem(
        "azpg.W014",
        where,
        f"{where} turns prepared statements on, but port {port} is Azure's built-in PgBouncer, which by default "
        "forgets them between transactions ('prepared statement \"_pg3_0\" does not exist').",
        "Remove it, or set the server parameter pgbouncer.max_prepared_statements above 0.",
    )


def health_checks(where: Place | str) -> Problem:
    return _problem(
        "azpg.W006",
        where,
        f"{where} keeps connections open, but CONN_HEALTH_CHECKS is off: after a failover or an idle time-out the "
        "next request of every worker fails once.",
        "Set 'CONN_HEALTH_CHECKS': True beside it.",
    )


def connections_under_asgi(where: Place | str) -> Problem:
    return _problem(
        "azpg.W019",
        where,
        f"{where} keeps connections open, but ASGI_APPLICATION is set: under ASGI a request rarely finds the "
        "connection of an earlier one, so connections pile up until the server has none left ('too many clients').",
        "Set CONN_MAX_AGE to 0. To reuse connections, add a pool: 'pool': True in OPTIONS (with psycopg 3).",
    )


def unchecked_pool(where: Place | str) -> Problem:
    return _problem(
        "azpg.W020",
        where,
        f"{where} is on, but CONN_HEALTH_CHECKS is off: the pool hands out connections without testing them, so "
        "after a failover one request fails for each connection in it.",
        "Set 'CONN_HEALTH_CHECKS': True beside HOST.",
    )


def system_roots(where: Place | str) -> Problem:
    return _problem(
        "azpg.W007",
        where,
        f"{where} is 'system': psycopg's binary packages look for the system's roots in a folder that exists on no "
        "ordinary machine, so every server is refused with 'certificate verify failed'.",
        "Remove sslrootcert to use the roots in this package, or point it at a PEM file.",
    )
