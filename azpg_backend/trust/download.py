"""Fetch the root CAs from their official URLs."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from azpg_backend.trust.manifest import Root, Source

# A root takes 1 to 3 KiB.
MAX_BYTES = 64 * 1024
_PEM_MARK = b"-----BEGIN CERTIFICATE-----"
_RETRY = Retry(
    total=2, backoff_factor=0.2, status_forcelist=(429, 500, 502, 503, 504), respect_retry_after_header=False
)


class Mismatch(Exception):
    """An official URL served another certificate than the pinned one."""


class Failed(Exception):
    """A download came to nothing."""


@dataclass(frozen=True)
class Download:
    """How one root fared.

    problem: "" (the bytes hash to the pin), "download_failed" or "fingerprint_mismatch".
    reason: what happened, without any URL userinfo; "" if there was no problem.
    """

    root: Root
    problem: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem


def fetch(root: Root, timeout: float) -> Download:
    """Fetch a root and say whether the official copy is the pinned one.

    Proxies and CA files come from the environment variables that requests honours. Bytes that do not hash to the pin
    are never handed on.
    timeout: seconds after which nothing more is begun; a single answer that drips in can take longer.
    """
    end = time.monotonic() + timeout
    reason = "there is no official URL"
    for source in root.urls:
        try:
            _fetch_source(root, source, end)
        except Mismatch as error:
            # Not tried elsewhere: somebody answers in the authority's name with another certificate.
            return Download(root, "fingerprint_mismatch", str(error))
        except Failed as error:
            reason = str(error)
        else:
            return Download(root)
    return Download(root, "download_failed", reason)


def _fetch_source(root: Root, source: Source, end: float) -> None:
    try:
        body = _get(source.url, end)
    # Malformed proxy settings surface as ValueError and as urllib3's own errors.
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise Failed(_reason(error)) from None
    _compare(root, source, body)


def _get(url: str, end: float) -> bytes:
    left = end - time.monotonic()
    if left <= 0:
        raise requests.Timeout
    with requests.Session() as session:
        # https only, redirects included: without an adapter for it, requests refuses plain http.
        session.adapters.pop("http://")
        session.mount("https://", HTTPAdapter(max_retries=_RETRY))
        with session.get(url, timeout=left, stream=True) as answer:
            if answer.status_code != 200:
                raise requests.HTTPError(f"HTTP status {answer.status_code}")
            body = b""
            for chunk in answer.iter_content(4096):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise requests.exceptions.ContentDecodingError(f"more than {MAX_BYTES} bytes")
                if time.monotonic() > end:
                    raise requests.Timeout
            return body


def _compare(root: Root, source: Source, body: bytes) -> None:
    try:
        der = ssl.PEM_cert_to_DER_cert(_only_block(body)) if _PEM_MARK in body else body
        certificate = x509.load_der_x509_certificate(der)
    except ValueError:
        raise Failed(f"{_host(source.url)} answered with something that is not a certificate") from None
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    if digest != root.sha256:
        subject = certificate.subject.rfc4514_string()
        raise Mismatch(f"{source.url} serves {subject!r} with SHA-256 {digest}, pinned is {root.sha256}")


def _only_block(body: bytes) -> str:
    text = body.decode("ascii")
    start = text.index(_PEM_MARK.decode())
    return text[start:].strip()


def _host(url: str) -> str:
    return url.split("/")[2]


def _reason(error: Exception) -> str:
    """Say what went wrong in a few words; the libraries' own texts hold proxy URLs, passwords included."""
    if isinstance(error, (requests.HTTPError, requests.exceptions.ContentDecodingError)) and error.args:
        return str(error.args[0])
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (requests.exceptions.ProxyError, "the proxy can't be reached or refuses"),
        (requests.exceptions.SSLError, "the download's own TLS certificate is not trusted (REQUESTS_CA_BUNDLE?)"),
        (requests.Timeout, "no complete answer in time"),
        (requests.TooManyRedirects, "too many redirects"),
        (requests.exceptions.InvalidSchema, "redirected to something that is not https"),
        (requests.exceptions.RetryError, "the server keeps answering with an error"),
        (requests.exceptions.ChunkedEncodingError, "the answer was cut off"),
        (requests.ConnectionError, "no connection (no network, or a firewall)"),
    )
    return next((words for kind, words in kinds if isinstance(error, kind)), f"{type(error).__name__}")
