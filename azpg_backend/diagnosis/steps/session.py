"""session: what does the server say of the connection that an application would have?"""

from __future__ import annotations

from typing import Any

from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, failed, passed, warned
from azpg_backend.errors.redact import printable

_QUESTION = """
SELECT current_setting('server_version'), current_user, current_setting('transaction_read_only') = 'on',
       pg_is_in_recovery(), ssl, version, cipher
FROM (SELECT 1) AS one LEFT JOIN pg_stat_ssl ON pid = pg_backend_pid()
"""


def run(context: Context) -> StepResult:
    wrapper = context.wrapper
    connection = wrapper.connection
    try:
        with connection.cursor() as cursor:
            cursor.execute(_QUESTION)
            version, user, read_only, recovering, server_tls, protocol, cipher = cursor.fetchone()
    except (wrapper.Database.Error, UnicodeDecodeError) as error:
        hint = "The login worked and the first query did not: the server may be restarting. Try again."
        return failed("session.failed", printable(str(error)), hint)
    client_tls = _client_tls(connection)
    detail: dict[str, Any] = {
        "server_version": version,
        "tls": bool(server_tls),
        "protocol": protocol,
        "cipher": cipher,
        "read_only": bool(read_only),
        "current_user": user,
    }
    number = connection.info.server_version
    minimum = wrapper.features.minimum_database_version or ()
    if divmod(number, 10000) < minimum:
        needed = ".".join(map(str, minimum))
        message = f"PostgreSQL {printable(version)} is older than this Django supports (PostgreSQL {needed})"
        return failed("session.unsupported_version", message, "Upgrade the server in the Azure portal.", **detail)
    if context.session_error is not None:
        hint = "This is what Django runs first on a new connection: check TIME_ZONE and OPTIONS['assume_role']."
        return failed("session.failed", printable(str(context.session_error)), hint, **detail)
    if not context.plan.plaintext and not (client_tls and server_tls):
        return _unconfirmed(client_tls, detail)
    if read_only:
        what = "a read replica" if recovering else "read-only"
        message = f"the server is {what}: Django can read, but migrate and every write will fail"
        hint = (
            "Use the server's own name or its .writer endpoint; if it is the primary, its storage is full "
            "(95 % makes it read-only): grow it."
        )
        return warned("session.read_only", message, hint, **detail)
    secured = f"{protocol} as the server sees it" if server_tls else "no TLS, as plaintext_on_loopback allows"
    return passed("session", f"PostgreSQL {printable(version)}, {secured}, read-write, {printable(user)}", **detail)


def _client_tls(connection: Any) -> bool:
    """Whether libpq itself says that TLS is in use on the client's end."""
    if hasattr(connection, "pgconn"):
        return bool(connection.pgconn.ssl_in_use)
    return bool(connection.info.ssl_in_use)


def _unconfirmed(client_tls: bool, detail: dict[str, Any]) -> StepResult:
    if client_tls:
        message = "libpq uses TLS, but the server sees its own connection without: a pooler stands in between"
        hint = "With a PgBouncer of your own set server_tls_sslmode = verify-full, so that the second leg has TLS too."
        return warned("session.tls_not_confirmed", message, hint, **detail)
    message = "the connection has no TLS"
    return failed("session.tls_not_confirmed", message, "Remove sslmode and gssencmode from OPTIONS.", **detail)
