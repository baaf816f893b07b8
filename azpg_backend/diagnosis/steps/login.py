"""login: does the engine itself get in?"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import Error

from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, failed, passed
from azpg_backend.entra import identity, login
from azpg_backend.entra.tokens import Token, TokenError
from azpg_backend.errors import explain
from azpg_backend.errors.explain import Explanation
from azpg_backend.errors.problem import Problem
from azpg_backend.errors.redact import printable
from azpg_backend.plan import hosts

# Bytes of a password that PgBouncer takes in releases up to 1.25 (MAX_PASSWORD in its include/bouncer.h, less the
# final NUL).
_PGBOUNCER_PASSWORD = 2047
_TOO_LONG = Problem(
    "login.token_failed",
    "the token is longer than the 2047 bytes that PgBouncer up to release 1.25 takes of a password",
    "Use port 5432, or an identity in fewer groups: a managed identity's token is short.",
)


def run(context: Context) -> StepResult:
    wrapper = context.wrapper
    detail: dict[str, Any] = {"user": context.plan.user, "method": context.plan.options.auth}
    secrets = [*explain.secrets_of(wrapper.settings_dict)]
    how = "password"
    token: Token | None = None
    if context.plan.options.auth == "entra":
        try:
            detail["user"], token = login.login_for(context.plan, wait=context.timeout)
        except TokenError as error:
            return _refused(explain.of_token(str(error)), detail)
        except ImproperlyConfigured as error:
            return failed("login.token_failed", printable(str(error), 800), None, **detail)
        secrets.append(token.text)
        detail["token"] = _shown(token)
        how = _in_words(detail["token"])
    try:
        wrapper.ensure_connection()
    except ImproperlyConfigured as error:
        return failed("login.failed", printable(str(error), 800), None, **detail)
    except Error as error:
        if wrapper.connection is None:
            too_long = token is not None and _too_long_for_pgbouncer(context, token)
            explanation = explain.of_driver(error, secrets)
            return _refused(explanation._replace(problem=_TOO_LONG) if too_long else explanation, detail)
        # It got in; what Django does first on a new connection went wrong, which is the session step's to tell.
        context.session_error = error
    info = wrapper.connection.info
    detail["user"] = info.user
    return passed("login", f"{printable(info.user)} on {printable(info.dbname)} ({how})", **detail)


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
    pooled = any(each.port in hosts.PGBOUNCER_PORTS for each in context.plan.endpoints)
    return pooled and len(token.text) > _PGBOUNCER_PASSWORD


def _refused(explanation: Explanation, detail: dict[str, Any]) -> StepResult:
    said = printable(explanation.words, 1500)
    if "token" in detail:
        said = f"{said} (sent: {_in_words(detail['token'])})"
    problem = explanation.problem
    if problem is None:
        hint = "This text is libpq's or the server's own; search for it in PostgreSQL's documentation."
        return failed("login.failed", said, hint, **detail)
    return failed(problem.code, said, f"That means: {problem.message}. {problem.hint}", **detail)
