"""A HelloRetryRequest is seen and told: it costs every connect a round trip, and nothing else shows it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from demo_project.localpg import Chain, LocalPostgres
from tests.support import servers
from tests.support.diagnosis import Check
from tests.support.settings import SettingsFor

WORDS = "HelloRetryRequest: one more round trip"


@pytest.mark.server
@pytest.mark.slow
def test_postgresql_s_default_curve_is_none_that_openssl_guesses(
    chain: Chain, settings_for: SettingsFor, check: Check
) -> None:
    """The default up to PostgreSQL 17, said here for later ones."""
    with LocalPostgres(chain, settings={"ssl_ecdh_curve": "prime256v1"}) as server:
        tls = check(settings_for(server))["tls"]
    assert (tls.status, tls.code) == ("pass", "tls.ok")
    assert tls.detail["hello_retry_request"] is True
    assert WORDS in tls.message


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_a_server_that_takes_the_first_offer(
    chain: Chain, at_port: Callable[..., dict[str, Any]], check: Check, maximum: ssl.TLSVersion
) -> None:
    """Python's ssl takes OpenSSL's own groups; and TLS 1.2 has no such request."""
    server = servers.TLSServer(chain.server_pem, chain.key_pem, then=servers.closing, maximum=maximum)
    with servers.listening(server) as port:
        tls = check(at_port(port))["tls"]
    assert tls.code == "tls.ok"
    assert tls.detail["hello_retry_request"] is False
    assert WORDS not in tls.message
