"""The backend's own options, ``DATABASES[alias]["OPTIONS"]["azpg"]``: each with type, default, reason."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from azpg_backend.plan import libpq, resource_id, texts

# Arguments of azure-identity's credentials.
_OF_CREDENTIALS = frozenset(
    {"authority", "certificate_path", "client_id", "client_secret", "identity_config", "managed_identity_client_id"}
    | {"tenant_id", "token_file_path", "workload_identity_client_id"}
)
AUTH_METHODS = ("password", "entra")


class InvalidOption(ValueError):
    """An option can't be used. Holds the key (or "" for the dict itself), what is wrong, and what to do."""

    def __init__(self, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"{key}: {problem}. {remedy}")
        self.key = key
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Options:
    """Parsed ``OPTIONS["azpg"]``.

    auth: "password", or "entra" for a Microsoft Entra token as the password.
    credential: dotted path, instance or factory of an azure-identity credential; None for DefaultAzureCredential.
    credential_kwargs: arguments for the factory. Not shown: a client secret may be among them.
    scope: OAuth scope of the token; "" for the one of the host's cloud.
    connect_retry_seconds: how long to go on trying while the server restarts, in seconds; 0 turns retrying off.
    plaintext_on_loopback: do without TLS if every host is a loopback address or a socket directory.
    resource_id: of the server in Azure, for ``azpg_check --azure``; "" to look for it by its host name.
    """

    auth: str = "password"
    credential: Any = field(default=None, repr=False)
    credential_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    scope: str = ""
    # Long enough for a restarted pooler or a moment without free connections; short enough that a request, or a test
    # suite without its server, does not hang. A worker or a migration that should sit out a failover wants 120.
    connect_retry_seconds: float = 5.0
    plaintext_on_loopback: bool = False
    resource_id: str = ""


def names() -> list[str]:
    return [each.name for each in fields(Options)]


def parse(value: Any) -> Options:
    """Turn the settings' dict into Options; None means all defaults.

    Raises InvalidOption for a key that doesn't exist (naming those that do) or a value of the wrong kind.
    """
    value = texts.settled(value)
    if value is None:
        return Options()
    if not isinstance(value, Mapping):
        raise InvalidOption(
            "", f"is {type(value).__name__}, not a dict", f"Write a dict with any of {texts.listed(names())}."
        )
    for key in value:
        if not isinstance(key, str) or key not in names():
            if key in _OF_CREDENTIALS:
                remedy = f"Write it one level down: 'credential_kwargs': {{{key!r}: ...}}, beside 'credential'."
                raise InvalidOption(key, "is an argument of a credential", remedy)
            if key in libpq.KEYWORDS or key in ("pool", "password"):
                raise InvalidOption(
                    key, "is not an option of this backend", f"Write it one level up, beside 'azpg': {key!r}."
                )
            near = difflib.get_close_matches(str(key).lower(), names(), n=1) if isinstance(key, str) else []
            remedy = "".join(f"Did you mean {each!r}? " for each in near) + f"Valid keys: {texts.listed(names())}."
            raise InvalidOption(texts.shown_key(key), "is not an option of this backend", remedy)
    for each in fields(Options):
        if each.name in value:
            given = texts.settled(value[each.name])
            _check(each.name, given if each.name.startswith("credential") else texts.plain(given))
    return Options(
        **{key: given if key.startswith("credential") else texts.plain(given) for key, given in value.items()}
    )


def _check(key: str, value: Any) -> None:
    if key == "auth" and not (isinstance(value, str) and value in AUTH_METHODS):
        raise InvalidOption(key, f"is {texts.shown(value)}", f"Use one of {texts.listed(AUTH_METHODS)}.")
    if key == "plaintext_on_loopback" and not isinstance(value, bool):
        raise InvalidOption(key, f"is {texts.shown(value)}", "Use True or False.")
    if key == "connect_retry_seconds" and (
        isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 3600
    ):
        raise InvalidOption(key, f"is {texts.shown(value)}", "Use a number of seconds from 0 (no retrying) to 3600.")
    if key == "scope":
        _check_scope(value)
    if key == "resource_id":
        _check_resource_id(value)
    if key == "credential_kwargs" and not isinstance(value, Mapping):
        raise InvalidOption(key, f"is {texts.kind(value)}, not a dict", "Write a dict of keyword arguments.")
    if key == "credential" and not (
        isinstance(value, str) or value is None or callable(value) or hasattr(value, "get_token")
    ):
        raise InvalidOption(
            key,
            f"is {texts.kind(value)}",
            "Give a dotted path, a credential with get_token(), or a function that returns one.",
        )


def _check_scope(value: Any) -> None:
    remedy = "Leave it out for the host's own cloud."
    if not isinstance(value, str):
        raise InvalidOption("scope", f"is {texts.kind(value)}, not a string", remedy)
    if not texts.may_be_shown(value):
        raise InvalidOption("scope", "holds a login, a password or a key (not shown)", remedy)
    if unseen := texts.invisible(value):
        raise InvalidOption("scope", f"is {texts.shown(value)}: there is {unseen}", remedy)


def _check_resource_id(value: Any) -> None:
    text = texts.plain(value)
    if text == "":
        return
    try:
        resource_id.parse(text if isinstance(text, str) else "")
    except ValueError:
        remedy = f"Copy it from the server's page Properties in the Azure portal: {resource_id.EXAMPLE}."
        raise InvalidOption("resource_id", f"is {texts.shown(value)}", remedy) from None
