"""The text for support holds what somebody far away asks for; tests/errors/test_sentinel.py looks for secrets in it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from io import StringIO

import pytest
from cryptography import x509
from django.core.management import call_command

from demo_project.localpg import Chain, LocalPostgres
from tests.support.settings import HOST, PASSWORD, SettingsFor

Databases = Callable[..., None]


def for_support() -> str:
    out = StringIO()
    with contextlib.suppress(SystemExit):
        call_command("azpg_check", "--offline", "--format", "support", stdout=out)
    return out.getvalue()


def test_what_is_in_it(databases: Databases, server: LocalPostgres, settings_for: SettingsFor, chain: Chain) -> None:
    databases(default=settings_for(server, CONN_MAX_AGE=60))
    text = for_support()
    for part in (
        r"^Django \d",
        r"^libpq \d+\.\d+$",
        r"^OpenSSL of the check: OpenSSL \d",
        r"^Python 3\.\d+\.\d+ on ",
        r"^  session +ok",
        r"^CONN_MAX_AGE = 60$",
        rf"^host = {re.escape(HOST)}$",
        r"^sslmode = verify-full$",
        r"^auth = password$",
        r"^addresses: 127\.0\.0\.1$",
        r'^  "version": 1,$',
    ):
        assert re.search(part, text, re.MULTILINE), part
    sent = x509.load_pem_x509_certificates(text.encode())
    assert sent == [chain.leaf, chain.issuing.certificate, chain.cross_signed.certificate]
    assert PASSWORD not in text


def test_an_alias_without_anything(databases: Databases) -> None:
    databases(default={"ENGINE": "azpg_backend", "HOST": "nowhere.invalid", "CONN_MAX_AGE": "postgres://me:pw@x"})
    text = for_support()
    assert "addresses: none" in text
    assert "no certificates" in text
    assert "CONN_MAX_AGE" not in text.partition("Alias default")[2].partition("Report as JSON")[0]


@pytest.mark.parametrize("name", ["a\nReport\n======", "\x1b[2J"])
def test_a_name_forges_no_section(databases: Databases, name: str) -> None:
    databases(
        default={"ENGINE": "azpg_backend", "HOST": "nowhere.invalid", "NAME": "x"},
        **{name: {"ENGINE": "azpg_backend", "HOST": "nowhere.invalid", "NAME": name}},
    )
    text = for_support()
    assert "\x1b" not in text
    assert len(re.findall(r"^Report\n======$", text, re.MULTILINE)) == 1
