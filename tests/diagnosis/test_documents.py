"""The address of a code: a URL for those who have the package only, a place in the checkout otherwise."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from email.message import Message

import pytest

from azpg_backend.diagnosis import documents
from scripts import package_page


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    documents._folder.cache_clear()
    yield
    documents._folder.cache_clear()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("", "docs/codes.md#tcprefused"),
        ("https://example.org/azpg", "https://example.org/azpg/blob/v1.0.0/docs/codes.md#tcprefused"),
    ],
)
def test_as_the_package_says(monkeypatch: pytest.MonkeyPatch, url: str, address: str) -> None:
    said = Message()
    for name, link in package_page.links(url, "1.0.0").items():
        said["Project-URL"] = f"{name}, {link}"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: said)
    assert documents.address_of("tcp.refused") == address


def test_a_package_that_was_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PACKAGE", "no such package")
    assert documents.address_of("tcp.refused") == "docs/codes.md#tcprefused"
