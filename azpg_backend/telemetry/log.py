"""Log records with stable keys."""

from __future__ import annotations

import logging

from azpg_backend.telemetry.names import LOGGER, Event

logger = logging.getLogger(LOGGER)


def tell(event: Event, message: str, *args: object, **keys: object) -> None:
    """Log an event.

    keys: what the record carries, without "azpg_".
    """
    if logger.isEnabledFor(event.level):
        extra = {"azpg_event": event.name, **{f"azpg_{key}": value for key, value in keys.items()}}
        logger.log(event.level, message, *args, extra=extra, stacklevel=2)
