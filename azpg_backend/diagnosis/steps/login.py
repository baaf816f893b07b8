"""login: does the engine itself get in?"""

from __future__ import annotations

from django.db.utils import Error

from azpg_backend import catalogue, explain
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, failed, passed
from azpg_backend.redact import printable, without


def run(context: Context) -> StepResult:
    wrapper = context.wrapper
    user = str(wrapper.settings_dict.get("USER") or context.plan.params.get("user") or "")
    method = context.plan.options.auth
    try:
        wrapper.ensure_connection()
    except Error as error:
        if wrapper.connection is None:
            return _refused(context, explain.driver_text(error), user, method)
        # It got in; what Django does first on a new connection went wrong, which is the session step's to tell.
        context.session_error = error
    info = wrapper.connection.info
    how = "Microsoft Entra token" if method == "entra" else "password"
    return passed("login", f"{printable(info.user)} on {printable(info.dbname)} ({how})", user=info.user, method=method)


def _refused(context: Context, text: str, user: str, method: str) -> StepResult:
    said = printable(without(text, explain.secrets_of(context.wrapper.settings_dict)))
    cause = catalogue.cause_of(text)
    if cause is None:
        hint = "This text is libpq's or the server's own; search for it in PostgreSQL's documentation."
        return failed("login.failed", said, hint, user=user, method=method)
    hint = f"That means: {cause.reason}. {cause.hint}"
    return failed(cause.code, said, hint, user=user, method=method)
