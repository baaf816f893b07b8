"""Why Azure did not tell: each a warning, because the check works without it."""

from __future__ import annotations

from typing import Any

from azpg_backend.azure import reading
from azpg_backend.errors import redact
from azpg_backend.errors.problem import Problem, Severity

INSTALL = 'pip install "django-azpg[azure]"'
_LONGEST = 300


def not_installed(error: ImportError) -> Problem:
    message = f"Azure was not asked: the extra [azure] is not installed ({error.name or error})"
    return _warning("azure.not_installed", message, f"{INSTALL}, or leave out --azure.")


def no_token(words: str, hint: str) -> Problem:
    """Return the problem in one line: azure-identity lists a dozen credentials that it tried.

    words: a credential's own.
    """
    if len(words) > _LONGEST:
        words = words.partition(". ")[0].removesuffix(".")
        words = words.partition(" Attempted credentials:")[0].rstrip(".")
    message = f"Azure was not asked: no token for its management API: {redact.printable(words, _LONGEST)}"
    return _warning("azure.no_token", message, hint)


def late(seconds: float, doing: str) -> Problem:
    message = f"Azure did not answer within {seconds:g} s ({doing})"
    hint = "Raise --timeout. OPTIONS['azpg']['resource_id'] saves the search through all subscriptions."
    return _warning("azure.timeout", message, hint)


def no_place(error: ValueError) -> Problem:
    hint = "Write it as https://management.example, or remove it for the cloud of HOST."
    return _warning("azure.unreachable", f"Azure was not asked: {error}", hint)


def not_found(host: str, searched: int) -> Problem:
    if not searched:
        message = "Azure was not asked for the server: the identity can read no subscription"
    else:
        subscriptions = "the 1 subscription" if searched == 1 else f"the {searched} subscriptions"
        message = f"there is no server {host} in {subscriptions} that the identity can read"
    hint = (
        f"Grant it the role Reader on the server, or {reading.READ_SUBSCRIPTIONS} with {reading.READ_SERVER} on its "
        "subscription; or set OPTIONS['azpg']['resource_id']: az postgres flexible-server list --query "
        f"\"[?fullyQualifiedDomainName=='{host}'].id\" --output tsv"
    )
    return _warning("azure.not_found", message, hint)


def another_server(host: str, found: str) -> Problem:
    message = f"OPTIONS['azpg']['resource_id'] is that of {found}, and HOST is {host}"
    hint = (
        "Correct one of them, or remove resource_id: az postgres flexible-server list --query "
        f"\"[?fullyQualifiedDomainName=='{host}'].id\" --output tsv"
    )
    return _warning("azure.not_found", message, hint)


def of(error: Exception, doing: str, action: str, secrets: list[str]) -> Problem:
    """Explain an error of Azure's client.

    doing: what was asked for.
    action: that it needs.
    """
    if isinstance(error, TimeoutError):
        return _warning("azure.timeout", f"there was no time left for Azure to answer ({doing})", "Raise --timeout.")
    status = getattr(error, "status_code", None)
    said = redact.printable(redact.without(_words(error), secrets), _LONGEST)
    # A proxy between here and there has its own 403, in another form.
    azures_own = _detail(error) != (None, None)
    if azures_own and status in {401, 403}:
        hint = f"Grant the identity the role Reader on the server, or a role with {action}."
        return _warning("azure.forbidden", f"the identity may not read {doing}: {said}", hint)
    if azures_own and status == 404:
        hint = "Check OPTIONS['azpg']['resource_id'], and that the server was not deleted or moved."
        return _warning("azure.not_found", f"Azure knows nothing under this id ({doing}): {said}", hint)
    if status == 429:
        return _warning("azure.unreachable", f"Azure throttles this identity ({doing})", "Try again in a few minutes.")
    if isinstance(status, int) and status >= 500:
        hint = "Try again in a few minutes; see https://azure.status.microsoft."
        return _warning("azure.unreachable", f"Azure failed with {status} ({doing}): {said}", hint)
    hint = "This machine needs a way to the management API (service tag AzureResourceManager), past its proxy."
    return _warning("azure.unreachable", f"Azure gave no usable answer ({doing}): {said}", hint)


def _detail(error: Exception) -> tuple[Any, Any]:
    """Return code and message in the form that every Azure API gives its errors; None where there is none."""
    detail: Any = getattr(error, "error", None)
    return getattr(detail, "code", None) or None, getattr(detail, "message", None) or None


def _words(error: Exception) -> str:
    code, message = _detail(error)
    if code or message:
        return f"{code}: {message}"
    return str(getattr(error, "message", None) or error) or type(error).__name__


def _warning(code: str, message: str, hint: str) -> Problem:
    return Problem(code, message, hint, Severity.WARNING)
