"""Microsoft Entra: from OPTIONS["azpg"] to a live token.

azure-identity is imported where a credential is built and nowhere else, so that password logins need none of it.
"""

from __future__ import annotations

import inspect
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from azpg_backend.entra.identity import advice, identity_of
from azpg_backend.entra.tokens import WAIT, Keeper, Token, TokenError
from azpg_backend.errors import redact
from azpg_backend.plan import hosts
from azpg_backend.plan.decision import Plan
from azpg_backend.process.memory import Kept

DEFAULT_CREDENTIAL = "azure.identity.DefaultAzureCredential"
INSTALL = 'pip install "django-azpg[entra]"'
# What azure-identity reads from the environment and must not be shown.
_SECRET_VARIABLES = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "IDENTITY_HEADER", "MSI_SECRET")
# Arguments of credentials that are no secret and help to understand an error.
_SHOWN_ARGUMENTS = re.compile(r"\w*(?:_id|authority)\Z")
# Characters of a credential's error: the one of DefaultAzureCredential lists a dozen reasons.
_LONGEST_REASON = 1500


@dataclass(frozen=True)
class Source:
    """Where tokens of one identity for one service come from. Equal sources share a token, others never do.

    credential: dotted path, instance or factory. kwargs: arguments for a factory.
    """

    credential: Any = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    scope: str

    @property
    def name(self) -> str:
        """What to call it in a message."""
        if isinstance(self.credential, str):
            return self.credential.rpartition(".")[2]
        named = self.credential if hasattr(self.credential, "__qualname__") else type(self.credential)
        return str(named.__qualname__)

    def build(self) -> Any:
        """Return the credential. Raises ImproperlyConfigured where it can't be made from the settings."""
        found = _imported(self.credential) if isinstance(self.credential, str) else self.credential
        if _is_instance(found):
            if self.kwargs:
                raise ImproperlyConfigured(f"credential_kwargs has no use: {self.name} is a credential already.")
            return found
        try:
            return found(**self.kwargs)
        except ImportError as error:
            problem = f"{self.name} needs a package that is not installed: {self.words(error)}"
            if (error.name or "").startswith("azure"):
                problem += f". For azure-identity: {INSTALL}"
        except (TypeError, ValueError) as error:
            problem = f"{self.name} can't be made from OPTIONS['azpg']['credential_kwargs']: {self.words(error)}"
        raise ImproperlyConfigured(problem)

    def words(self, error: BaseException) -> str:
        """Return what an error says, without any secret that is known or looks like a token."""
        text = redact.without(str(error), self._secrets()) or type(error).__name__
        return redact.printable(text, _LONGEST_REASON)

    def _secrets(self) -> Iterator[str]:
        for key, value in self.kwargs.items():
            if isinstance(value, str) and len(value) >= 4 and not _SHOWN_ARGUMENTS.match(str(key)):
                yield value
        for variable in _SECRET_VARIABLES:
            if value := os.environ.get(variable):
                yield value


class _Fetcher:
    """Asks a source's credential for tokens."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._credential: Any = None
        self._process = 0

    def __call__(self, fresh: bool) -> Token:
        """Return a token. fresh: not one that the credential has in its own cache."""
        source = self._source
        try:
            if self._credential is None or fresh or self._process != os.getpid():
                # What a class or factory makes anew has an empty cache and, in a child process, connections and locks
                # of its own.
                before, self._credential, self._process = self._credential, source.build(), os.getpid()
                fresh = fresh and self._credential is before
            return _token(self._ask(fresh), self._credential)
        except (ImproperlyConfigured, TokenError):
            raise
        except Exception as error:  # noqa: BLE001 (any credential may be in use, and its errors are its own)
            problem = source.words(error)
        raise TokenError(problem)

    def _ask(self, fresh: bool) -> Any:
        credential, scope = self._credential, self._source.scope
        if hasattr(credential, "get_token_info"):
            if fresh:
                try:
                    return credential.get_token_info(scope, options={"claims": _newer_than_now()})
                except Exception:  # noqa: BLE001, S110 (not every credential takes claims)
                    pass
            return credential.get_token_info(scope)
        return credential.get_token(scope)


def _newer_than_now() -> str:
    """Return the claims by which a service asks for a new token; they make credentials pass their cache by."""
    return f'{{"access_token":{{"nbf":{{"essential":true,"value":"{int(time.time())}"}}}}}}'


def _token(answer: Any, credential: Any) -> Token:
    name = type(credential).__name__
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise ImproperlyConfigured(f"{name} is asynchronous: use the credential of this name in azure.identity itself.")
    text, end = getattr(answer, "token", None), getattr(answer, "expires_on", None)
    if not isinstance(text, str) or not re.fullmatch(r"[!-~]+", text) or not isinstance(end, (int, float)):
        raise TokenError(f"{name} answered with something that is not a token")
    return Token(redact.Secret(text), float(end), float(getattr(answer, "refresh_on", None) or 0), source=name)


def _is_instance(credential: Any) -> bool:
    return hasattr(credential, "get_token") and not isinstance(credential, type)


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        missing = path.startswith("azure.identity.") and (error.name or "").startswith("azure")
        problem = f"it needs azure-identity: {INSTALL}" if missing else redact.printable(str(error))
    raise ImproperlyConfigured(f"The Microsoft Entra credential {path!r} can't be imported: {problem}")


def source_of(plan: Plan) -> Source:
    """Return where an alias's tokens come from: its options, and its host's cloud where they are silent."""
    options = plan.options
    cloud = next(filter(None, (hosts.cloud_of(each.host) for each in plan.endpoints)), hosts.CLOUDS[0])
    kwargs = dict(options.credential_kwargs)
    if options.credential is None and cloud is not hosts.CLOUDS[0] and not os.environ.get("AZURE_AUTHORITY_HOST"):
        kwargs.setdefault("authority", cloud.authority)
    return Source(options.credential or DEFAULT_CREDENTIAL, kwargs, options.scope or cloud.scope)


class _Keepers:
    """The tokens of this process, one for each source."""

    def __init__(self) -> None:
        self.known: list[tuple[Source, Keeper]] = []
        self.lock = threading.Lock()

    def in_child(self) -> _Keepers:
        """Return the same for a forked child: tokens go on, threads and locks don't."""
        inherited = _Keepers()
        inherited.known = self.known
        return inherited

    def of(self, source: Source) -> Keeper:
        with self.lock:
            for known, keeper in self.known:
                if known == source:
                    return keeper
            keeper = Keeper(source.name, _Fetcher(source))
            self.known.append((source, keeper))
            return keeper

    def stop(self) -> None:
        for _, keeper in self.known:
            keeper.stop()


_keepers = Kept(_Keepers, in_child=_Keepers.in_child, drop=_Keepers.stop)


def login_for(plan: Plan, refused: str = "", wait: float = WAIT) -> tuple[str, Token]:
    """Return user name and token for a login. The user name is the settings', or else follows from the token.

    refused: a token that the server did not accept, so that another one is wanted. wait: seconds. Raises TokenError
    where there is no token to be had, and ImproperlyConfigured where the settings name no usable credential or no user
    name follows; it then says which one to put.
    """
    token = _keepers.get().of(source_of(plan)).get(refused, wait)
    if plan.user:
        return plan.user, token
    identity = identity_of(token.text)
    if identity.role:
        return identity.role, token
    raise ImproperlyConfigured(
        f"DATABASES[{plan.alias!r}]['USER'] is empty, and the role's name does not follow from the token of "
        f"{redact.printable(str(identity), 200)}. {redact.printable(advice(identity), 600)}"
    )
