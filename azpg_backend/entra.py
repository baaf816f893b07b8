"""Microsoft Entra tokens: one for many connections, renewed before it ends, never shared between identities.

A token is the password of a login (Microsoft, "Microsoft Entra authentication with Azure Database for PostgreSQL").
The server reads it only then, so an open connection outlives it. Nothing of azure is imported before one is needed.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from azpg_backend import catalogue, explain, hosts, redact
from azpg_backend.hosts import Cloud, Endpoint
from azpg_backend.options import Options

logger = logging.getLogger("azpg_backend")

T = TypeVar("T")

# Seconds before its end from which a token is renewed in the background, where the service does not say when to.
RENEWAL_MARGIN = 300
# Seconds before the next try after a renewal failed, while the old token still serves.
RENEWAL_PAUSE = 30
# Seconds that a token must have left to be presented: clocks differ, and a login takes time.
LEEWAY = 10


class TokenError(Exception):
    """No token can be had. The text is the credential's own, cut and without secrets."""


@dataclass(frozen=True)
class Token:
    """value: the password to give. expires_on, renew_on: Unix times in seconds."""

    value: str = field(repr=False)
    expires_on: float
    renew_on: float
    usable_until: float

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says of itself, not verified (RFC 7519); {} where it can't be read."""
        try:
            payload = self.value.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError, binascii.Error):
            return {}
        return claims if isinstance(claims, dict) else {}

    @property
    def identity(self) -> str:
        """The name of the signed-in identity as PostgreSQL knows it, or "" where the token does not carry one.

        Users have a user principal name. A managed identity's name is the last part of its resource's path: the
        identity itself where it is user-assigned, the machine or app where it is system-assigned.
        """
        claims = self.claims
        if resource := claims.get("xms_mirid"):
            return str(resource).rstrip("/").rpartition("/")[2]
        for name in ("upn", "preferred_username", "unique_name", "app_displayname"):
            if claims.get(name):
                return str(claims[name])
        return ""


class TokenProvider:
    """Tokens of one credential for one scope; safe to use from many threads."""

    def __init__(self, make_credential: Callable[[], Any], scope: str, secrets: Sequence[str]) -> None:
        self.scope = scope
        self._make_credential = make_credential
        self._secrets = tuple(secrets)
        self._credential: Any = None
        self._token: Token | None = None
        self._asking = threading.Lock()
        self._renewing = threading.Lock()
        self._renewal_not_before = 0.0

    @property
    def credential_name(self) -> str:
        return type(self._credential).__name__

    def get(self) -> Token:
        """Return a live token, waiting for the service only where there is none. Raises TokenError."""
        token = self._token
        if token is None or time.time() >= token.usable_until:
            with self._asking:
                # Another thread may have asked while this one waited.
                token = self._token
                if token is None or time.time() >= token.usable_until:
                    token = self._token = self._ask()
            return token
        if time.time() >= token.renew_on:
            self._renew_in_background()
        return token

    def replace(self, refused: Token) -> Token:
        """Return another token than the one that a server refused. Raises TokenError.

        The credential is made anew where it can be: azure-identity keeps tokens too, and would hand out the same.
        """
        with self._asking:
            if self._token == refused:
                self._credential = None
                self._token = self._ask()
            return self._token or self._ask()

    def _renew_in_background(self) -> None:
        if time.time() >= self._renewal_not_before and self._renewing.acquire(blocking=False):
            threading.Thread(target=self._renew, name="azpg-token", daemon=True).start()

    def _renew(self) -> None:
        try:
            self._token = self._ask()
        except TokenError as error:
            self._renewal_not_before = time.time() + RENEWAL_PAUSE
            logger.warning("The Microsoft Entra token could not be renewed; the old one still serves: %s", error)
        finally:
            self._renewing.release()

    def _ask(self) -> Token:
        try:
            if self._credential is None:
                self._credential = self._make_credential()
            now = time.time()
            answer = self._credential.get_token(self.scope)
        except ImproperlyConfigured:
            raise
        except Exception as error:  # noqa: BLE001 (a credential may be anybody's code, and its text may hold anything)
            raise TokenError(redact.printable(redact.without(str(error), self._secrets), 800)) from None
        lifetime = max(0.0, answer.expires_on - now)
        renew_on = getattr(answer, "refresh_on", None) or answer.expires_on - min(RENEWAL_MARGIN, lifetime / 2)
        return Token(answer.token, answer.expires_on, renew_on, answer.expires_on - min(LEEWAY, lifetime / 10))


_providers: dict[object, TokenProvider] = {}


def forget() -> None:
    """Forget all tokens, as in a new process."""
    _providers.clear()


if hasattr(os, "register_at_fork"):
    # A child must not wait for a lock that another thread of its parent held.
    os.register_at_fork(after_in_child=forget)


def provider_for(options: Options, endpoints: Sequence[Endpoint]) -> TokenProvider:
    """Return the process's provider for a credential and a scope; equal options share one."""
    clouds = (hosts.cloud_of(endpoint.host) for endpoint in endpoints)
    cloud = next((each for each in clouds if each), hosts.CLOUDS[0])
    scope = options.scope or cloud.scope
    credential = options.credential
    identity = credential if isinstance(credential, str) or credential is None else id(credential)
    key = (identity, tuple(sorted((name, repr(value)) for name, value in options.credential_kwargs.items())), scope)
    secrets = [value for value in options.credential_kwargs.values() if isinstance(value, str) and len(value) >= 4]
    return _providers.setdefault(key, TokenProvider(lambda: make_credential(options, cloud), scope, secrets))


def make_credential(options: Options, cloud: Cloud) -> Any:
    """Make the credential that the options describe. Raises ImproperlyConfigured where it can't be imported.

    The default one asks the login service of the server's cloud, unless AZURE_AUTHORITY_HOST names another.
    """
    credential = options.credential
    arguments = dict(options.credential_kwargs)
    if credential is None:
        credential = "azure.identity.DefaultAzureCredential"
        if "AZURE_AUTHORITY_HOST" not in os.environ:
            arguments.setdefault("authority", cloud.authority)
    if isinstance(credential, str):
        try:
            credential = import_string(credential)
        except ImportError as error:
            install = ' Run: pip install "django-azpg[entra]"' if credential.startswith("azure.") else ""
            raise ImproperlyConfigured(
                f"OPTIONS['azpg']['credential'] {credential!r} can't be imported ({error}).{install}"
            ) from error
    if isinstance(credential, type) or not hasattr(credential, "get_token"):
        credential = credential(**arguments)
    return credential


def user_of(token: Token, alias: str) -> str:
    """Return the user name that a token implies. Raises ImproperlyConfigured where it carries none."""
    if token.identity:
        return token.identity
    raise ImproperlyConfigured(
        f"DATABASES[{alias!r}]['USER'] is empty, and the Microsoft Entra token does not carry a name. Set USER to the "
        "name of the role: a user's principal name, or the display name of the group, service principal or managed "
        "identity."
    )


def connecting(provider: TokenProvider, connect: Callable[[Token], T], error_class: type[Exception]) -> T:
    """Connect with a token, and once more with a fresh one where the server refuses it."""
    token = provider.get()
    try:
        return connect(token)
    except error_class as error:
        cause = catalogue.cause_of(explain.driver_text(error))
        if cause is None or cause.code not in {"login.token_failed", "login.wrong_password"}:
            raise
        fresh = provider.replace(token)
        if fresh.value == token.value:
            raise
    return connect(fresh)
