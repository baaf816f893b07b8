"""login: does the engine itself get in?"""

from __future__ import annotations

import time
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import Error

from azpg_backend import catalogue, entra, explain
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, failed, passed
from azpg_backend.redact import printable, without


def run(context: Context) -> StepResult:
    wrapper = context.wrapper
    detail: dict[str, Any] = {
        "user": str(wrapper.settings_dict.get("USER") or context.plan.params.get("user") or ""),
        "method": context.plan.options.auth,
    }
    secrets = [*explain.secrets_of(wrapper.settings_dict)]
    how = "password"
    if context.plan.options.auth == "entra":
        try:
            how = _token(context, detail, secrets)
        except entra.TokenError as error:
            return _refused(f"no Microsoft Entra token: {error}", secrets, detail)
        except ImproperlyConfigured as error:
            return failed("login.token_failed", printable(str(error)), None, **detail)
    try:
        wrapper.ensure_connection()
    except ImproperlyConfigured as error:
        return failed("login.failed", printable(str(error)), None, **detail)
    except Error as error:
        if wrapper.connection is None:
            return _refused(explain.driver_text(error), secrets, detail)
        # It got in; what Django does first on a new connection went wrong, which is the session step's to tell.
        context.session_error = error
    info = wrapper.connection.info
    detail["user"] = info.user
    return passed("login", f"{printable(info.user)} on {printable(info.dbname)} ({how})", **detail)


def _token(context: Context, detail: dict[str, Any], secrets: list[str]) -> str:
    """Note which identity would log in, and for how long its token lives; the token itself is a secret."""
    provider = entra.provider_for(context.plan.options, context.plan.endpoints)
    token = provider.get()
    secrets.append(token.value)
    claims = token.claims
    lifetime = max(0, round(token.expires_on - time.time()))
    detail["token"] = {
        "credential": provider.credential_name,
        "identity": printable(token.identity),
        "tenant": printable(str(claims.get("tid", ""))),
        "audience": printable(str(claims.get("aud", ""))),
        "expires_in_seconds": lifetime,
    }
    whose = token.identity or claims.get("appid") or claims.get("oid") or "an identity without a name"
    return printable(
        f"Microsoft Entra token of {whose} by {provider.credential_name}, {lifetime // 60} min left, "
        f"audience {claims.get('aud', 'unknown')}"
    )


def _refused(text: str, secrets: list[str], detail: dict[str, Any]) -> StepResult:
    said = printable(without(text, secrets), 800)
    cause = catalogue.cause_of(text)
    if cause is None:
        hint = "This text is libpq's or the server's own; search for it in PostgreSQL's documentation."
        return failed("login.failed", said, hint, **detail)
    return failed(cause.code, said, f"That means: {cause.reason}. {cause.hint}", **detail)
