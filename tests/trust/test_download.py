"""Downloads from the official URLs: the pin decides, and nothing that goes wrong is worse than a named reason."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler

import pytest

from azpg_backend.diagnosis import ca_files
from azpg_backend.trust import download, manifest
from azpg_backend.trust.download import Download
from demo_project.localpg import Authority
from tests.support import servers
from tests.support.official import Official, send, sending

G2 = next(root for root in manifest.bundled() if root.slug == "digicert-global-root-g2")
MICROSOFT = next(root for root in manifest.bundled() if root.slug == "microsoft-rsa-root-ca-2017")
MICROSOFT_URL = MICROSOFT.urls[0].url


def fetch(timeout: float = 30) -> Download:
    """Fetch the root that has a single URL."""
    (result,) = ca_files.fetch([MICROSOFT], timeout)
    assert "sentinel" not in repr(result)
    return result


def test_every_official_copy_matches(official: Official) -> None:
    results = ca_files.fetch(manifest.bundled(), 30)
    assert [result.root for result in results] == list(manifest.bundled())
    assert all(result.ok for result in results)
    assert len(official.asked) == 7


def test_pem_is_read_too(official: Official) -> None:
    der, pem = G2.urls
    assert (der.format, pem.format) == ("DER", "PEM")
    official.answers[der.url] = sending(b"gone", 404)
    result = download.fetch(G2, 30)
    assert result.ok
    assert official.asked == [der.url, pem.url]


def test_another_certificate_is_a_mismatch_and_not_looked_for_elsewhere(official: Official) -> None:
    official.answers[G2.urls[0].url] = sending(Authority.root("DigiCert Global Root G2").pem.encode())
    result = download.fetch(G2, 30)
    assert result.problem == "fingerprint_mismatch"
    assert G2.sha256 in result.reason
    assert "DigiCert Global Root G2" in result.reason
    assert len(official.asked) == 1


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.1)


def too_large(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x" * 65536)


def cut(handler: BaseHTTPRequestHandler) -> None:
    send(handler, manifest.pem(MICROSOFT).encode()[:500], **{"Content-Length": "5000"})


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(60)


FAILURES = {
    "html": (sending(b"<html>Please sign in</html>"), "not a certificate"),
    "empty": (sending(b""), "not a certificate"),
    "404": (sending(b"no", 404), "404"),
    "500": (sending(b"no", 500), "keeps answering with an error"),
    "to plain http": (sending(b"", 302, Location="http://www.microsoft.com/x.crt"), "not https"),
    "redirects without end": (sending(b"", 302, Location=MICROSOFT_URL), "too many redirects"),
    "cut": (cut, "cut off"),
    "too large": (too_large, "more than 65536 bytes"),
    "drip": (dripping, "no complete answer"),
    "silence": (silent, "no complete answer"),
}
WAITING = {"drip", "silence"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in WAITING else name for name in FAILURES]
)
def test_downloads_that_fail(official: Official, name: str) -> None:
    assert fetch().ok
    official.answers[MICROSOFT_URL], part = FAILURES[name]
    started = time.monotonic()
    result = fetch(timeout=2 if name in WAITING else 30)
    assert result.problem == "download_failed"
    assert part in result.reason
    assert time.monotonic() - started < 30


def test_a_passing_fault_is_tried_again(official: Official) -> None:
    answers = [sending(b"busy", 503), sending(b"slow down", 429)]

    def improving(handler: BaseHTTPRequestHandler) -> None:
        if answers:
            answers.pop()(handler)
        else:
            send(handler, manifest.pem(MICROSOFT).encode())

    official.answers[MICROSOFT_URL] = improving
    assert fetch().ok
    assert len(official.asked) == 3


def test_a_redirect_to_https_is_followed(official: Official) -> None:
    target = "https://elsewhere.example.org/root.crt"
    official.answers[MICROSOFT_URL] = sending(b"", 301, Location=target)
    official.answers[target] = sending(manifest.pem(MICROSOFT).encode())
    assert fetch().ok


def test_a_site_whose_own_certificate_is_not_trusted(official: Official, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    result = fetch()
    assert result.problem == "download_failed"
    assert "REQUESTS_CA_BUNDLE" in result.reason
    assert official.asked == []


@pytest.mark.parametrize(
    "proxy", ["http://someone:sentinel@127.0.0.1:{port}", "nonsense://someone:sentinel@x", "http://["]
)
def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(port=servers.closed_port()))
    result = fetch(timeout=3)
    assert result.problem == "download_failed"
    assert result.reason


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    result = fetch(timeout=3)
    assert (result.problem, result.reason) == ("download_failed", "no connection (no network, or a firewall)")
