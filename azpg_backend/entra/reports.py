"""What fetching tokens meets, told to whoever listens: the log, OpenTelemetry."""

from __future__ import annotations

from azpg_backend.telemetry import log, metrics, names


def fetched(credential: str, left: float, seconds: float) -> None:
    """Tell of a token that was fetched in so many seconds and serves for left more."""
    keys = {"credential": credential, "seconds": round(left)}
    log.tell(names.TOKEN_FETCHED, "A token of %s is there, for %.0f s", credential, left, **keys)
    metrics.record(names.TOKEN_FETCH_DURATION, seconds, {names.CREDENTIAL: credential})


def failed(credential: str, why: str, left: float, seconds: float) -> None:
    """Tell why there is no new token. left: seconds for which the present one serves, or 0 if there is none."""
    keys = {"credential": credential, "seconds": round(left)}
    if left:
        message = "The Microsoft Entra token of %s could not be renewed; the present one serves for %.0f s more: %s"
        log.tell(names.TOKEN_NOT_RENEWED, message, credential, left, why, **keys)
    else:
        log.tell(names.TOKEN_FAILED, "There is no Microsoft Entra token of %s: %s", credential, why, **keys)
    attributes = {names.CREDENTIAL: credential, names.ERROR: "login.token_failed"}
    metrics.record(names.TOKEN_FETCH_DURATION, seconds, attributes)
