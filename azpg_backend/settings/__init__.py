"""DATABASES from the environment: Azure's variables, connection strings, URLs.

Use it in settings.py; nothing of Django needs to be set up::

    from azpg_backend.settings import from_environment

    DATABASES = {"default": from_environment()}
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from azpg_backend.errors.redact import Secret
from azpg_backend.settings import choice
from azpg_backend.settings.entry import Wishes, resolved
from azpg_backend.settings.urls import register_urls

__all__ = ["from_environment", "register_urls"]


def from_environment(
    source: str = "",
    *,
    default: str = "",
    engine: str = "",
    auth: str = "",
    plaintext_hosts: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the entry of DATABASES for what the environment holds.

    source: which variables to read, if there are several databases or conventions: the name of one that holds a URL or
        a connection string ("DATABASE_URL"), or the start of several names ("AZURE_POSTGRESQL", "ORDERS").
    default: a URL for when none is set, such as a laptop's; ignored on Azure.
    engine: the ENGINE, if it is not "azpg_backend", or "azpg_backend.postgis" for a URL that begins with azpgis://.
    auth: "entra" for a login by Microsoft Entra, if the variables can't say so: a URL without a password.
    plaintext_hosts: development servers that may be used without TLS, such as "localhost" or "db"; names without dots.
    environ: what to read instead of os.environ.

    If nothing is set, the entry has no HOST, so that an image can be built; connecting then fails with azpg.E003.
    Raises ImproperlyConfigured, without any value in its text, if something is missing or contradicts the rest.
    """
    # Not to be seen among the variables of this frame.
    default = Secret(default)
    try:
        entry, notes = _entry(source, default, Wishes(engine, auth, plaintext_hosts), environ)
    except ImproperlyConfigured as error:
        problem = str(error)
    else:
        for note in notes:
            warnings.warn(note, stacklevel=2)
        return entry
    # Raised here, the traceback leads through no frame that holds a secret.
    raise ImproperlyConfigured(problem)


def _entry(
    source: str, default: str, wishes: Wishes, environ: Mapping[str, str] | None
) -> tuple[dict[str, Any], list[str]]:
    entry, notes = choice.entry(os.environ if environ is None else environ, source, default, wishes)
    return dict(resolved(entry)), notes
