"""session: what does the server say of the connection that an application would have?"""

from __future__ import annotations

from typing import Any

from django.db.utils import Error as DjangoError

from azpg_backend.diagnosis import facts as ask
from azpg_backend.diagnosis import rights
from azpg_backend.diagnosis.bounded import Task
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.facts import Facts
from azpg_backend.diagnosis.report import StepResult, failed, from_problems, passed
from azpg_backend.diagnosis.step import Step
from azpg_backend.diagnosis.steps.tls import is_weak
from azpg_backend.errors import explain, redact
from azpg_backend.errors.problem import Problem, Severity

_SILENT_HINT = (
    "The server lets you in and answers no query: it is overloaded, its disk does not keep up, or a PgBouncer has no "
    "free server connection. Look at CPU, IOPS and active connections under Metrics in the Azure portal."
)
_ODD_HINT = (
    "The login worked and the first query did not: the server may be restarting, or a pooler or another product than "
    "PostgreSQL answers there. Try again; then check HOST, PORT and NAME."
)
_CONSOLE = "pgbouncer"
_CONSOLE_HINT = "Set NAME to the application's database."
_DJANGOS_HINT = (
    "This is what Django does first on a new connection, so the application fails alike: check TIME_ZONE, and in "
    "OPTIONS assume_role, isolation_level and cursor_factory."
)


def run(context: Context) -> StepResult:
    if isinstance(context.session_error, TimeoutError):
        return _silent(context)
    info = context.wrapper.connection.info
    if problem := _too_old(context, info.server_version):
        if info.dbname == _CONSOLE:
            return failed("session.failed", f"{_CONSOLE!r} is PgBouncer's own console, not a database", _CONSOLE_HINT)
        return from_problems([problem], server_version=_version_text(info.server_version))
    if context.session_error is not None:
        return failed("session.failed", _said(context, context.session_error), _why(context.session_error))
    context.query = Task(lambda: _look(context), "azpg-check-query")
    try:
        return context.query.result(context.timeout)
    except TimeoutError:
        return _silent(context)
    except (context.wrapper.Database.Error, ask.OddAnswer, UnicodeDecodeError, TypeError, ValueError) as error:
        return failed("session.failed", _said(context, error), _ODD_HINT)


def _why(error: Exception) -> str:
    """Return a hint for what Django met first: a server that went away, or settings that it can't apply."""
    cause = explain.of_driver(error, []).problem
    return f"That means: {cause.message}. {cause.hint}" if cause is not None and cause.transient else _DJANGOS_HINT


def _silent(context: Context) -> StepResult:
    context.cut()
    message = f"the server answered no query within {context.timeout:g} s"
    return failed("session.timeout", message, _SILENT_HINT)


def _look(context: Context) -> StepResult:
    connection = context.wrapper.connection
    facts = ask.of_session(connection)
    detail: dict[str, Any] = {
        "server_version": facts.server_version,
        "tls": facts.tls,
        "protocol": facts.protocol,
        "cipher": facts.cipher,
        "read_only": facts.read_only,
        "current_user": facts.user,
        "role": "standby" if facts.in_recovery else "primary",
        "lag_seconds": ask.lag_seconds(connection) if facts.in_recovery else None,
    }
    problems = [] if context.plan.plaintext else unprotected(facts, client_tls=_client_tls(connection))
    if facts.read_only and context.plan.writes:
        problems.append(read_only(facts, ask.why_read_only(connection)))
    elif context.plan.writes:
        problems += _rights(context, facts)
    if problems:
        return from_problems(problems, **detail)
    return passed("session", _in_words(facts, detail["lag_seconds"], writes=context.plan.writes), **detail)


def _in_words(facts: Facts, lag: float | None, *, writes: bool) -> str:
    secured = f"{facts.protocol} as the server sees it" if facts.tls else "no TLS, as plaintext_on_loopback allows"
    access = "read-only" if facts.read_only else "read-write"
    if facts.read_only and not writes:
        access += ", as the settings ask"
    if facts.in_recovery:
        access += ", a standby" + (f" {lag:g} s behind" if lag is not None else "")
    return f"PostgreSQL {facts.server_version}, {secured}, {access}, {facts.user}"


def _too_old(context: Context, number: int) -> Problem | None:
    """Judge the release that libpq knows from the login, before a query that an old server may not understand."""
    minimum = context.wrapper.features.minimum_database_version or ()
    if not number or divmod(number, 10000) >= minimum:
        return None
    return Problem(
        "session.unsupported_version",
        f"PostgreSQL {_version_text(number)} is older than this Django supports (PostgreSQL "
        f"{'.'.join(map(str, minimum))})",
        "Upgrade the server in the Azure portal, or use an older Django.",
    )


def _version_text(number: int) -> str:
    # Up to release 9.6 the major version had two parts.
    return f"{number // 10000}.{number // 100 % 100}" if number < 100000 else "{}.{}".format(*divmod(number, 10000))


def unprotected(facts: Facts, *, client_tls: bool) -> list[Problem]:
    """Return why the connection is not protected, or not to its end."""
    if client_tls and facts.tls:
        if not is_weak(facts.cipher):
            return []
        message = f"the connection's cipher, {facts.cipher}, does not protect it"
        hint = "OPENSSL_CONF or the system's openssl.cnf allows it: remove OPENSSL_CONF from the environment."
        return [Problem("session.tls_not_confirmed", message, hint)]
    if client_tls:
        message = "libpq uses TLS, but the server sees its own connection without: a pooler stands in between"
        hint = "In your own PgBouncer set server_tls_sslmode = verify-full, so that the second leg has TLS too."
        return [Problem("session.tls_not_confirmed", message, hint, Severity.WARNING)]
    hint = "Remove sslmode and gssencmode from OPTIONS."
    return [Problem("session.tls_not_confirmed", "the connection has no TLS", hint)]


# By pg_settings.source, where default_transaction_read_only was turned on, and how to turn it off.
_SETTINGS = {
    "client": (
        "the alias's settings ask for it",
        "Remove default_transaction_read_only from OPTIONS['options'] (or PGOPTIONS), or leave it: then it is meant.",
    ),
    "user": ("the role is set so", "ALTER ROLE {user} RESET default_transaction_read_only;"),
    "database": ("the database is set so", "ALTER DATABASE {database} RESET default_transaction_read_only;"),
    "database user": (
        "the role is set so in this database",
        "ALTER ROLE {user} IN DATABASE {database} RESET default_transaction_read_only;",
    ),
}


def read_only(facts: Facts, source: str) -> Problem:
    """Say why writes will fail: settings first, then a replica, then the server's storage.

    source: where default_transaction_read_only was turned on; "" if it is off.
    """
    if source in _SETTINGS:
        why, hint = _SETTINGS[source]
        hint = hint.format(user=facts.user, database=facts.database)
    elif facts.in_recovery:
        why = "it is a standby (a read replica, or a former primary after a failover)"
        hint = (
            "Use the server's own name or its .writer endpoint; after a failover the name follows within about 30 s. "
            "If this alias is meant for reading, set target_session_attrs to 'prefer-standby' in its OPTIONS."
        )
    else:
        why = "its storage is probably full (Azure makes a server read-only at 95 %)"
        hint = "Look at Storage percent under Metrics in the Azure portal and grow the storage."
    message = f"the session is read-only, so migrate and every write will fail: {why}"
    return Problem("session.read_only", message, hint, Severity.WARNING)


def _rights(context: Context, facts: Facts) -> list[Problem]:
    found = [rights.of_schema(facts)]
    if wanted := rights.extensions_of_migrations(context.application):
        extensions = ask.extensions(context.wrapper.connection, wanted)
        found.append(rights.of_extensions(extensions, wanted, context.plan))
    return [each for each in found if each is not None]


def _client_tls(connection: Any) -> bool:
    """Whether libpq itself says that TLS is in use on the client's end."""
    if hasattr(connection, "pgconn"):
        return bool(connection.pgconn.ssl_in_use)
    return bool(connection.info.ssl_in_use)


def _said(context: Context, error: Exception) -> str:
    words = str(error)
    if not words or not isinstance(error, (DjangoError, context.wrapper.Database.Error, ask.OddAnswer)):
        words = f"{type(error).__name__}: {error}"
    return redact.without(words, explain.secrets_of(context.wrapper.settings_dict))


def _needs_login(context: Context) -> str:
    return "" if context.logged_in else "needs login"


STEP = Step(
    "session", run, late="session.timeout", late_hint=_SILENT_HINT, surprise="session.failed", needs=(_needs_login,)
)
