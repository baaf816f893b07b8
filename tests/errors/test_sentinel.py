"""A sentinel in every key, variable, file, token or URL, looked for in all that any command or error page shows."""

from __future__ import annotations

import functools
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import connections
from django.test import RequestFactory, override_settings
from django.views.debug import technical_500_response

from azpg_backend.diagnosis import formats
from azpg_backend.plan import libpq, rules
from demo_project.localpg import LocalPostgres
from tests.support.outputs import outputs
from tests.support.settings import Settings, SettingsFor

SENTINEL = "s3ntinel-9f2c"
URL = f"postgres://me:{SENTINEL}@other.postgres.database.azure.com/app"
NO_DOWNLOADS = ["azpg_check", "--offline", "--timeout", "2"]

Change = Callable[[Settings, pytest.MonkeyPatch, Path], None]


def in_settings(key: str, value: Any) -> Change:
    return lambda settings, patch, folder: settings.update({key: value})


def in_options(key: str, value: Any) -> Change:
    return lambda settings, patch, folder: settings["OPTIONS"].update({key: value})


def in_azpg(key: str, value: Any) -> Change:
    return lambda settings, patch, folder: settings["OPTIONS"].update(azpg={key: value, "connect_retry_seconds": 0})


def in_environment(name: str, value: str) -> Change:
    return lambda settings, patch, folder: patch.setenv(name, value)


def in_service_file(line: str) -> Change:
    def plant(settings: Settings, patch: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / "services").write_text(f"[mine]\n{line}\n")
        patch.setenv("PGSERVICEFILE", str(folder / "services"))
        settings["OPTIONS"]["service"] = "mine"

    return plant


def as_token(settings: Settings, patch: pytest.MonkeyPatch, folder: Path) -> None:
    class Credential:
        def get_token(self, *scopes: str) -> Any:
            return type("Answer", (), {"token": SENTINEL, "expires_on": 4e9})()

    del settings["PASSWORD"]
    settings["OPTIONS"]["azpg"] = {"auth": "entra", "credential": Credential, "connect_retry_seconds": 0}


def as_credentials_words(settings: Settings, patch: pytest.MonkeyPatch, folder: Path) -> None:
    def fail(client_secret: str) -> None:
        raise ValueError(f"bad secret {client_secret}")

    del settings["PASSWORD"]
    entra = {"auth": "entra", "credential": fail, "credential_kwargs": {"client_secret": SENTINEL}}
    settings["OPTIONS"]["azpg"] = {**entra, "connect_retry_seconds": 0}


SECRET_KEYS = ["password", "sslpassword"]
PLACES: dict[str, Change] = {
    "PASSWORD": in_settings("PASSWORD", SENTINEL),
    "PASSWORD as bytes": in_settings("PASSWORD", SENTINEL.encode()),
    "PASSWORD in a list": in_settings("PASSWORD", [SENTINEL]),
    **{
        f"a URL in {key}": in_settings(key, URL)
        for key in sorted({*rules.DJANGO, "NAME", "USER", "HOST", "PORT"} - {"TEST"})
    },
    **{f"OPTIONS[{key!r}]": in_options(key, SENTINEL) for key in SECRET_KEYS},
    **{
        f"a URL in OPTIONS[{key!r}]": in_options(key, URL)
        for key in sorted({*libpq.KEYWORDS, "dsn", "pool", "nothing"})
    },
    **{
        f"a login in OPTIONS[{key!r}]": in_options(key, f"password={SENTINEL}")
        for key in ("options", "conninfo", "host")
    },
    **{
        f"a URL in azpg.{key}": in_azpg(key, URL)
        for key in ("auth", "credential", "credential_kwargs", "scope", "plaintext_on_loopback", "nothing")
    },
    "PGPASSWORD": in_environment("PGPASSWORD", SENTINEL),
    "a URL in PGHOSTADDR": in_environment("PGHOSTADDR", URL),
    "a URL in PGOPTIONS": in_environment("PGOPTIONS", URL),
    "AZURE_CLIENT_SECRET": in_environment("AZURE_CLIENT_SECRET", SENTINEL),
    "password in a service file": in_service_file(f"password={SENTINEL}"),
    "a URL in a service file": in_service_file(f"hostaddr={URL}"),
    "a token": as_token,
    "a credential's words": as_credentials_words,
}


def connecting() -> None:
    connections["default"].cursor()


def page(accept: str) -> str:
    """Return Django's page for the error that connecting meets, as DEBUG=True shows it to a browser or to curl."""
    request = RequestFactory().get("/", headers={"accept": accept})
    try:
        connecting()
    except Exception as error:
        with override_settings(DEBUG=True):
            answer = technical_500_response(request, type(error), error, error.__traceback__)
        # The page lists all settings as they are; what is tested here is what an error brings.
        return str(answer.content.decode()).partition("Request information")[0]
    return ""


def local_variables() -> str:
    """Return what a reporter that sends the variables of every frame would send, causes and contexts included."""
    try:
        connecting()
    except Exception as error:
        reported: list[str] = []
        seen: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            each = pending.pop()
            if each is not None and id(each) not in seen:
                seen.add(id(each))
                reported += [repr(each), *map(repr, vars(each).values()), *frames(each.__traceback__)]
                pending += [each.__cause__, each.__context__]
        return "\n".join(reported)
    return ""


def frames(trace: TracebackType | None) -> list[str]:
    return [repr(value) for frame, _ in traceback.walk_tb(trace) for value in frame.f_locals.values()]


def shell() -> None:
    call_command("dbshell")


SHOWN: dict[str, Callable[[], object]] = {
    "connect": connecting,
    "check": lambda: print(*checks.run_checks(tags=["azpg"])),
    "azpg_check": lambda: call_command(*NO_DOWNLOADS, "--verbosity", "3"),
    **{
        f"azpg_check as {name}": functools.partial(call_command, *NO_DOWNLOADS, "--format", name)
        for name in formats.RENDERERS
    },
    "the plan": lambda: print(repr(connections["default"].plan())),  # type: ignore[attr-defined]
    "the error page": lambda: print(page("text/html")),
    "the error page as text": lambda: print(page("text/plain")),
    "local variables": lambda: print(local_variables()),
    "dbshell": shell,
}


@pytest.mark.parametrize("place", PLACES)
def test_nothing_shows_it(
    server: LocalPostgres,
    settings_for: SettingsFor,
    databases: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
) -> None:
    settings = settings_for(server)
    # Somebody else's, so that every login fails and is explained.
    settings["USER"] = "nobody"
    PLACES[place](settings, monkeypatch, tmp_path)
    databases(default=settings)
    arguments: list[str] = []
    monkeypatch.setattr(subprocess, "run", lambda args, **kwargs: arguments.extend(map(str, args)))
    for name, run in SHOWN.items():
        text = outputs(run)
        assert SENTINEL not in text, f"{name} shows it:\n{text}"
    assert not any(SENTINEL in argument for argument in arguments)
