"""Passwords that do not look like one: a warning that names the shape, and never the value."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject, lazystr

from tests.support.plans import ids, only, planned


class SecretStr:
    def get_secret_value(self) -> str:
        raise AssertionError

    def __str__(self) -> str:
        return "**********"


@pytest.mark.parametrize(
    ("password", "part"),
    [
        (12345678, "type int, not text"),
        (Decimal("12345678"), "type Decimal, not text"),
        (True, "type bool"),
        (SecretStr(), "get_secret_value"),
        ("gfa7Kq\n", "a line break at its end"),
        ("gfa7Kq ", "a blank at its end"),
        ("gfa7\u200bKq", "ZERO WIDTH SPACE"),
        ('"gfa7Kq"', "stands in quotes"),
        ("'gfa7Kq'", "stands in quotes"),
        ("@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/gfa7Kq)", "a Key Vault reference"),
        ("https://v.vault.azure.net/secrets/gfa7Kq/1", "a Key Vault reference"),
        ("vault:secret/gfa7Kq#password", "a reference to a secret"),
        ("secretref:gfa7Kq", "a reference to a secret"),
        ("op://gfa7Kq/db/password", "a reference to a secret"),
        ("$ANSIBLE_VAULT;1.1;AES256\ngfa7Kq", "a line break"),
        ("ENC[AES256_GCM,data:gfa7Kq]", "an encrypted value"),
        ("${GFA7KQ}", "a variable or a placeholder"),
        ("$(GFA7KQ)", "a variable or a placeholder"),
        ("%GFA7KQ%", "a variable or a placeholder"),
        ("{{ gfa7Kq }}", "a variable or a placeholder"),
        ("#{gfa7Kq}#", "a variable or a placeholder"),
        ("${{ secrets.gfa7Kq }}", "a variable or a placeholder"),
        ("%{gfa7Kq}", "a variable or a placeholder"),
        ("DB_PASSWORD=gfa7Kq", "a line of an env or YAML file"),
        ("password: gfa7Kq", "a line of an env or YAML file"),
        ("[parameters('gfa7Kq')]", "a variable or a placeholder"),
        ("`cat /run/secrets/gfa7Kq`", "a variable or a placeholder"),
        ("$env:GFA7KQ", "the name of a variable"),
        ("var.gfa7Kq", "an expression"),
        ("random_password.gfa7Kq.result", "an expression"),
        ("os.environ['GFA7KQ']", "an expression"),
        ("!Ref gfa7Kq", "an expression"),
        ("(sensitive value)", "a mask"),
        ("[REDACTED]", "a mask"),
        ("https://gfa7kq.vault.usgovcloudapi.net/secrets/p/1", "a Key Vault reference"),
        ("SCRAM-SHA-256$4096:gfa7Kq$x:y", "what a server stores"),
        ("md5" + "0123456789abcdef" * 2, "what a server stores"),
        ("ChangeMe!", "a placeholder from an example"),
        ("[YOUR-PASSWORD]", "a placeholder from an example"),
        ("Bearer eyJ0eXAiOiJKV1QiLCJ.eyJhdWQi.gfa7Kq", "is a token"),
        ("[{'value': 'gfa7Kq'}]", "a JSON document"),
        ("b'gfa7Kq'", "how Python writes a value of another type"),
        ('b"gfa7Kq"', "how Python writes a value of another type"),
        ("('gfa7Kq',)", "how Python writes a value of another type"),
        ("['gfa7Kq']", "how Python writes a value of another type"),
        ("[b'gfa7Kq']", "how Python writes a value of another type"),
        ("<KeyVaultSecret [https://x/gfa7Kq]>", "how Python writes a value of another type"),
        ("<gfa7Kq.Secret object at 0x7f0>", "how Python writes a value of another type"),
        ("<your gfa7Kq>", "a variable or a placeholder"),
        ("SecretStr('gfa7Kq')", "how Python writes a value of another type"),
        (Path("/run/secrets/gfa7Kq"), "the path of a file"),
        (Path("gfa7Kq.txt"), "the path of a file"),
        (lazystr("gfa7Kq\n"), "a line break at its end"),
        ("$GFA7KQ", "the name of a variable"),
        ("<gfa7Kq>", "a variable or a placeholder"),
        ("{your_gfa7Kq}", "a variable or a placeholder"),
        ("changeme", "a placeholder from an example"),
        ("your-password", "a placeholder from an example"),
        ("None", "a missing value"),
        ("********", "a mask"),
        ('{"username": "a", "password": "gfa7Kq"}', "a JSON document"),
        ("eyJ0eXAiOiJKV1QiLCJ.eyJhdWQi.gfa7Kq", "'auth': 'entra'"),
        ("postgres://me:gfa7Kq@h", "is a URL"),
        ("/run/secrets/gfa7Kq", "the path of a file"),
    ],
)
@pytest.mark.parametrize("key", ["PASSWORD", "password"])
def test_what_does_not_look_like_a_password(key: str, password: Any, part: str) -> None:
    plan = planned(PASSWORD=password) if key == "PASSWORD" else planned({key: password}, PASSWORD="")
    assert ids(plan) == ["azpg.W016"]
    assert not plan.errors
    assert part in only(plan)
    for shown in (only(plan), repr(plan)):
        assert "gfa7kq" not in shown.lower()
        assert "12345678" not in shown


def test_the_environment_s_password_is_looked_at_too() -> None:
    plan = planned(PASSWORD="", environ={"PGPASSWORD": "gfa7Kq\n"})
    assert ids(plan) == ["azpg.W016"]
    assert "PGPASSWORD" in only(plan)
    assert planned(environ={"PGPASSWORD": "gfa7Kq\n"}).problems == ()


@pytest.mark.parametrize("password", ["gfa7\0Kq", "gfa7\udc80Kq", b"gfa7Kq", ["gfa7Kq"], {"value": "gfa7Kq"}])
def test_what_can_be_no_password_is_refused(password: Any) -> None:
    plan = planned(PASSWORD=password)
    assert ids(plan) == ["azpg.E002"]
    assert "gfa7Kq" not in only(plan)


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "p<ss>w",
        "$ecret",
        "50%off%",
        "a{b}c",
        "it's",
        "{}",
        "a b",
        "\u00fcber",
        "x",
        "hunter2",
        "100%",
        "=,;:@",
    ],
)
def test_a_password_that_may_be_right_is_left_alone(password: str) -> None:
    assert planned(PASSWORD=password).problems == ()


def test_a_lazy_password() -> None:
    assert planned(PASSWORD=lazystr("gfa7Kq!z")).problems == ()
    missing: dict[str, str] = {}
    plan = planned(PASSWORD=SimpleLazyObject(lambda: missing["DB_PASSWORD"]))
    assert ids(plan) == ["azpg.E002"]
    assert "a value that raises KeyError when it is read" in only(plan)


def test_a_token_login_is_told_of_the_password_only() -> None:
    plan = planned({"azpg": {"auth": "entra"}}, PASSWORD="gfa7Kq\n")
    assert ids(plan) == ["azpg.E006"]
