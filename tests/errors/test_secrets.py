"""One sentinel, planted wherever a secret can enter, and looked for in everything that comes out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import connections

from azpg_backend.base import DatabaseWrapper
from azpg_backend.errors import explain, redact
from azpg_backend.plan import decision, options
from demo_project.localpg import Chain, LocalPostgres
from tests.support import servers
from tests.support.outputs import outputs
from tests.support.settings import SettingsFor
from tests.support.standins import jwt

SENTINEL = "s3ntinel-9f2c"


def planted(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the sentinel in every place for a secret."""
    return {
        **settings,
        "PASSWORD": SENTINEL,
        "OPTIONS": {
            **settings["OPTIONS"],
            "sslpassword": SENTINEL,
            "azpg": {"credential_kwargs": {"client_secret": SENTINEL}},
        },
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"PASSWORD": SENTINEL, "USER": "nobody"},
        {"NAME": f"postgres://me:{SENTINEL}@host/app"},
        {"HOST": ""},
        {"OPTIONS": {"dsn": f"password={SENTINEL}"}},
        {"OPTIONS": {"azpg": {"credential_kwargs": SENTINEL}}},
        {"OPTIONS": {"azpg": SENTINEL}},
        {"OPTIONS": {"sslmode": "disable"}},
        {"HOST": "other.postgres.database.azure.com"},
        pytest.param({"PORT": 1}, marks=pytest.mark.slow),
    ],
)
def test_nothing_that_we_emit_holds_a_secret(
    server: LocalPostgres,
    settings_for: SettingsFor,
    databases: Callable[..., None],
    changes: dict[str, Any],
) -> None:
    base = planted(settings_for(server))
    if "OPTIONS" in changes:
        changes = {**changes, "OPTIONS": {**base["OPTIONS"], **changes["OPTIONS"]}}
    databases(default={**base, **changes})
    wrapper = connections["default"]
    assert isinstance(wrapper, DatabaseWrapper)
    for run in (
        lambda: connections["default"].cursor(),
        lambda: call_command("azpg_check", "--offline", "--timeout", "2"),
        lambda: call_command("azpg_check", "--offline", "--timeout", "2", "--format", "json"),
        lambda: print(*checks.run_checks(tags=["azpg"])),
        lambda: print(repr(wrapper), repr(wrapper.plan()), wrapper.plan()),
    ):
        text = outputs(run)
        assert text.strip()
        assert SENTINEL not in text


def test_a_server_that_sends_the_password_back(chain: Chain, at_port: Any, databases: Callable[..., None]) -> None:
    """A cleartext password request, and then the password in the error message."""

    def echo(visitor: Any) -> None:
        visitor.recv(4096)
        visitor.sendall(b"R\0\0\0\x08\0\0\0\x03")
        said = visitor.recv(4096)
        assert SENTINEL.encode() in said
        visitor.sendall(servers.error_response(f"no such password: {SENTINEL}"))
        visitor.recv(4096)

    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem, then=echo)) as port:
        databases(default={**at_port(port), "PASSWORD": SENTINEL})
        for run in (
            lambda: connections["default"].cursor(),
            lambda: call_command("azpg_check", "--offline", "--timeout", "30", "--format", "json"),
        ):
            text = outputs(run)
            assert "no such password: ********" in text
            assert text.replace("'", "").count(SENTINEL) == 0


def test_what_looks_like_a_token_is_masked() -> None:
    token = jwt({"aud": "x", "oid": "y"})
    assert redact.without(f"the token {token} was refused", []) == "the token ******** was refused"


def test_what_is_no_secret_is_not_masked() -> None:
    """Masking 'postgres' in 'my.postgres.database.azure.com' would tell the password and hide the host."""
    settings = {"HOST": "my.postgres.database.azure.com", "USER": "me", "NAME": "app", "OPTIONS": {}}
    assert list(explain.secrets_of({**settings, "PASSWORD": "postgres"})) == []
    assert list(explain.secrets_of({**settings, "PASSWORD": "x"})) == []
    assert list(explain.secrets_of({**settings, "PASSWORD": SENTINEL})) == [SENTINEL]


def test_dbshell_keeps_the_password_off_the_command_line(
    server: LocalPostgres, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch, databases: Callable[..., None]
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda args, **kwargs: ran.append((args, kwargs)))
    databases(default=planted(settings_for(server)))
    call_command("dbshell")
    ((arguments, keywords),) = ran
    assert not any(SENTINEL in argument for argument in arguments)
    assert keywords["env"]["PGPASSWORD"] == SENTINEL
    assert SENTINEL not in json.dumps(dict(os.environ))


def test_options_and_plans_hide_what_is_secret_in_them() -> None:
    parsed = options.parse({"credential": lambda: SENTINEL, "credential_kwargs": {"client_secret": SENTINEL}})
    assert SENTINEL not in repr(parsed)
    settings = {"NAME": "a", "HOST": "h", "PASSWORD": SENTINEL, "OPTIONS": {"password": SENTINEL}}
    assert SENTINEL not in repr(decision.decide("default", settings, environ={}))
