"""What may be shown of a foreign text: one line, of a length, that changes nothing on a terminal."""

from __future__ import annotations

import unicodedata

import pytest

from azpg_backend.errors import redact

# A character of each category that is escaped: Cc, Cf, Cs, Co, Cn.
ODD = ["\x1b", "\u202e", "\ud800", "\ue000", "\u0378"]


@pytest.mark.parametrize("character", ODD)
def test_what_could_change_a_terminal_is_escaped(character: str) -> None:
    assert redact.printable(f"a{character}b") == "a" + character.encode("unicode_escape").decode() + "b"
    assert unicodedata.category(character)[0] == "C"


@pytest.mark.parametrize("text", ["Zoë", "日本", "a-b_c", "☃", "e\u0301"])
def test_what_people_write_stays(text: str) -> None:
    assert redact.printable(text) == text


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\t", "  ", "\u2028", "\x85"])
def test_it_is_one_line(separator: str) -> None:
    assert redact.printable(f" a{separator}b ") == "a b"


def test_a_long_text_is_cut_at_the_limit() -> None:
    assert redact.printable("x" * 10, 10) == "x" * 10
    assert redact.printable("x" * 11, 10) == "x" * 7 + "..."
    assert len(redact.printable("x" * 1000)) == 500


def test_every_occurrence_and_every_token_goes() -> None:
    assert redact.without("a hunter2 b hunter2", ["hunter2"]) == "a ******** b ********"
    assert redact.without("token eyJhbGciOiJSUzI1NiJ9.eyJhdWQ.sig_x end", []) == "token ******** end"
    assert redact.without("eyJ short", []) == "eyJ short"


@pytest.mark.parametrize(
    ("secret", "common"),
    [
        ("password", True),
        ("Password", True),
        ("pass", True),
        ("the password", True),
        ("hunter2", False),
        ("the x9", False),
    ],
)
def test_words_that_every_error_has(secret: str, common: bool) -> None:
    assert redact.is_common(secret) is common


def test_a_secret_is_no_representation() -> None:
    assert repr(redact.Secret("hunter2")) == "'********'"
    assert f"{redact.Secret('hunter2')}" == "hunter2"
