"""login: does the engine itself get in?"""

from __future__ import annotations

import time
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import Error

from azpg_backend.diagnosis import application
from azpg_backend.diagnosis.bounded import Deadline, Task
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, failed, from_problems, passed
from azpg_backend.diagnosis.step import Step
from azpg_backend.entra import identity, login
from azpg_backend.entra.tokens import Token, TokenError
from azpg_backend.errors import explain, redact
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem
from azpg_backend.errors.redact import printable
from azpg_backend.plan import passwords

# What psycopg 3 puts before libpq's words.
_PSYCOPG = "connection failed: "
# Bytes of a password that PgBouncer takes in releases up to 1.25 (MAX_PASSWORD in its include/bouncer.h, less the
# final NUL). Azure's takes longer ones since its maintenance of April 2026.
_PGBOUNCER_PASSWORD = 2047
_TOO_LONG = Problem(
    "login.token_failed",
    "the token is longer than the 2047 bytes that many releases of PgBouncer take as a password",
    "Use port 5432, or an identity in fewer groups: a managed identity's token is short.",
)
# What PgBouncer and libpq say if a password was too long for PgBouncer.
_CODES_OF_TOO_LONG = {"login.failed", "login.wrong_password"}
_LATE_HINT = (
    "The server, or a proxy in front of it, accepts connections and never ends a login: it may be overloaded or in a "
    "failover. Try again in a minute; if it stays so, look at Resource health in the Azure portal."
)


def run(context: Context) -> StepResult:
    detail: dict[str, Any] = {"user": context.plan.user, "method": context.plan.options.auth}
    how = "password"
    token: Token | None = None
    deadline = context.deadline()
    if context.plan.options.auth == "entra":
        try:
            detail["user"], token = login.login_for(context.plan, wait=context.timeout)
        except TokenError as error:
            return _refused(explain.of_token(str(error)), detail)
        except ImproperlyConfigured as error:
            return failed("login.token_failed", str(error), None, **detail)
        detail["token"] = _shown(token)
        how = _in_words(detail["token"])
    trouble = _enter(context, deadline)
    if context.wrapper.connection is None:
        return _not_in(context, trouble, token, detail)
    # It got in; what Django does first on a new connection went wrong, which is the session step's to tell.
    context.session_error = trouble
    context.logged_in = True
    info = context.wrapper.connection.info
    detail["user"] = info.user
    if problem := context.pool_problem or application.exhausted(context.application):
        return from_problems([problem], **detail)
    return passed("login", f"{info.user} on {info.dbname} ({how})", **detail)


def _enter(context: Context, deadline: Deadline) -> Exception | None:
    """Connect as the application does, and return what went wrong."""
    try:
        application.judge_pool(context.application)
        return _connect(context, deadline)
    except Exception as error:  # noqa: BLE001 (returned: whatever Django or the driver raises has to be told)
        return error


def _connect(context: Context, deadline: Deadline) -> Exception | None:
    started = time.monotonic()
    try:
        Task(context.wrapper.ensure_connection, "azpg-check-connect").result(deadline.left() + 1)
    except Error as error:
        if context.wrapper.pool is None or not _tells_nothing(error):
            return error
        waited = time.monotonic() - started
        own = application.own_pool_timeout(context.application, context.timeout)
        # The pool says only that there was no connection: a connection without it tells why.
        context.leave_pool()
        context.wrapper = application.copy_of(context.application, context.plan, context.timeout, pooled=False)
        Task(context.wrapper.ensure_connection, "azpg-check-connect").result(deadline.left() + 1)
        took = time.monotonic() - started - waited
        if own is not None and own < 2 * took:
            context.pool_problem = _hasty_pool(own, took)
        elif took < waited / 2:
            context.pool_problem = _useless_pool(waited)
    return None


def _hasty_pool(own: float, took: float) -> Problem:
    message = (
        f"OPTIONS['pool']['timeout'] is {own:g} s, but one login takes {took:.3f} s: a request that has to wait for a "
        "connection, as the first ones of each process do, fails"
    )
    return Problem("login.failed", message, "Remove 'timeout' (30 s is psycopg_pool's default), or raise it.")


def _useless_pool(waited: float) -> Problem:
    hint = "Compare OPTIONS['pool'] with psycopg_pool's documentation, or remove it and set CONN_MAX_AGE."
    message = f"the pool had no connection ready within {waited:.1f} s, though one without the pool works"
    return Problem("login.failed", message, hint)


def _tells_nothing(error: Exception) -> bool:
    return type(error.__cause__).__name__ in {"PoolTimeout", "TooManyRequests"} and "could not log in" not in str(error)


def _not_in(context: Context, error: Exception | None, token: Token | None, detail: dict[str, Any]) -> StepResult:
    if isinstance(error, TimeoutError):
        return failed("login.timeout", f"the login did not end within {context.timeout:g} s", _LATE_HINT, **detail)
    if isinstance(error, ImproperlyConfigured):
        return failed("login.failed", str(error), "Correct that in DATABASES.", **detail)
    secrets = [*explain.secrets_of(context.wrapper.settings_dict), *([token.text] if token else [])]
    if not isinstance(error, (Error, UnicodeError)):
        said = redact.without(f"{type(error).__name__}: {error}", secrets)
        hint = (
            "Django or the driver raised this before the server was asked, so every connection of the application "
            "fails as well. Usually a value in DATABASES has the wrong type: CONN_MAX_AGE, PORT and time-outs are "
            "numbers, CONN_HEALTH_CHECKS and AUTOCOMMIT are True or False, OPTIONS and OPTIONS['pool'] are dicts."
        )
        return failed("login.failed", f"Django can't use the settings of this alias: {said}", hint, **detail)
    explanation = explain.of_driver(error, secrets)
    code = explanation.problem.code if explanation.problem else "login.failed"
    if token and code in _CODES_OF_TOO_LONG and _too_long_for_pgbouncer(context, token):
        explanation = explanation._replace(problem=_TOO_LONG)
    likely = _shape(context.wrapper.settings_dict.get("PASSWORD")) if code == "login.wrong_password" else ""
    return _refused(explanation, detail, likely)


def _shape(password: Any) -> str:
    """Return a hint on the form of a password that is probably none, without its value; "" if it may be one."""
    phrase, hint = passwords.judged(password) if password else ("", "")
    return f"PASSWORD {phrase}. {hint}" if phrase else ""


def _shown(token: Token) -> dict[str, object]:
    """Return which identity logs in and for how long its token lives; the token itself is a secret."""
    owner = identity.identity_of(token.text)
    shown = {
        "credential": token.source,
        "identity_kind": owner.kind,
        "identity": owner.name or owner.app_id or owner.object_id,
        "tenant": owner.tenant,
        "audience": owner.audience,
    }
    return {
        **{key: printable(value, 200) for key, value in shown.items()},
        "expires_in_seconds": max(0, round(token.left)),
        "length": len(token.text),
    }


def _in_words(token: dict[str, object]) -> str:
    return (
        f"Microsoft Entra token of {token['identity_kind']} {token['identity'] or '?'} by {token['credential']}, "
        f"tenant {token['tenant'] or '?'}, audience {token['audience'] or '?'}, {token['expires_in_seconds']} s left"
    )


def _too_long_for_pgbouncer(context: Context, token: Token) -> bool:
    return context.plan.pooled and len(token.text) > _PGBOUNCER_PASSWORD


def _once(words: str) -> str:
    """Leave out what stands there twice: libpq tries again without application_name if a parameter is unknown."""
    said = words.removeprefix(_PSYCOPG)
    return words[: len(words) - len(said)] + "\n".join(dict.fromkeys(said.splitlines()))


def _refused(explanation: Explanation, detail: dict[str, Any], first: str = "") -> StepResult:
    """Say what the server said, and what it means.

    first: a hint that is likelier than the usual one.
    """
    said = printable(_once(explanation.words), 1500)
    if "token" in detail:
        said = f"{said} (sent: {_in_words(detail['token'])})"
    problem = explanation.problem
    if problem is None:
        hint = "These are the words of libpq or the server: search for them in PostgreSQL's documentation."
        return failed("login.failed", said, hint, **detail)
    hint = f"That means: {problem.message}. {problem.hint}"
    if problem.code == "login.timeout":
        # The steps above reached the server, so neither firewall nor network is to blame.
        hint = _LATE_HINT
    return failed(problem.code, said, f"{first} {hint}".strip(), **detail)


def _needed(context: Context) -> str:
    if context.plan.errors:
        return "needs settings"
    if context.plan.plaintext:
        return "needs tcp" if context.remote and not context.sockets else ""
    if context.system_roots:
        return "" if context.handshakes else "needs tls"
    return "" if context.trusted else "needs certificate"


STEP = Step("login", run, late="login.timeout", late_hint=_LATE_HINT, surprise="login.failed", needs=(_needed,))
