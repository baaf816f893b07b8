"""What a text setting gives away about itself: invisible characters, a login, a URL, quotes, a placeholder."""

from __future__ import annotations

import ipaddress
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from django.utils.functional import Promise

_NAMES = {
    "\0": "a NUL character",
    "\n": "a line break",
    "\r": "a carriage return",
    "\t": "a tab",
    "\x1b": "an escape character",
    "\ufeff": "a byte order mark",
}
# Categories of characters that nobody sees: controls, formatting, halves of a pair, line and paragraph separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_LOGIN = re.compile(
    # scheme://user:password@host, with one slash too, which is what pathlib makes of it
    r":/+\S*@"
    # password=..., in a conninfo string, a URL's query or a .NET string
    r"|(?<![\w.])(?:ssl_?password|password|passwd|pwd|accountkey|sharedaccesskey|access_token|client_secret|sig)\s*=",
    re.IGNORECASE,
)
# A JSON Web Token, such as Microsoft Entra's: its first part is a JSON object.
TOKEN = re.compile(r"(?:Bearer\s+)?eyJ[\w-]{8,}\.[\w-]+\.[\w-]*", re.ASCII)
_USERINFO = re.compile(r":.*@|@[^@]*[:/]", re.DOTALL)
_PEM = re.compile(r"-----BEGIN|BEGIN [A-Z ]*(?:CERTIFICATE|KEY)")
_URL = re.compile(r"://|^\s*(?:jdbc|postgres|postgresql|postgis|psql|pgsql|https?|tcp|file):|^\s*//", re.IGNORECASE)
# Keys of .NET's and ODBC's connection strings, which a semicolon ends.
_DOTNET = re.compile(
    r"(?:^|;)\s*(?:server|data source|host|address|database|initial catalog|user ?id|uid|user ?name|port|driver|"
    r"ssl ?mode)\s*=[^;]*;",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\$\{[^{}]*\}|\$\([^()]*\)|\$?\{\{.*\}\}|%\{[^{}]*\}|@@\w+@@|\{%.*%\}|%[A-Za-z_]\w*%|#\{[^{}]*\}#?|\$\$[A-Z_]+|__[A-Z_]+__|"
    r"@Microsoft\.KeyVault\(.*|\{[\w -]+\}|`[^`]*\s[^`]*`"
    # ARM's and Bicep's expressions
    r"|\[(?:concat|format|if|listKeys|outputs|parameters|reference|resourceId|variables)\(.*\)[\w.]*\]",
    re.DOTALL,
)
_WORD = re.compile(r"(?!eyJ)[A-Za-z0-9_./-]{1,79}")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"


def plain(value: Any) -> Any:
    """Return text for what is text in another wrapping (a path, bytes, a lazy string), and anything else unchanged.

    Bytes that are not UTF-8 become halves of a pair, which ``invisible`` then finds.
    """
    try:
        if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
            value = str(value)
        if isinstance(value, (os.PathLike, Promise)):
            value = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
        if isinstance(value, (bytes, bytearray)):
            value = bytes(value).decode("utf-8", "surrogateescape")
        if isinstance(value, str) and type(value) is not str:
            # An enumeration's member is the text that it stands for, whatever str() would make of it.
            return str.__str__(value) if issubclass(type(value), str) else str(value)
        if isinstance(value, int) and type(value) not in (int, bool):
            return int.__int__(value)
        if isinstance(value, float) and type(value) is not float:
            return float.__float__(value)
    except Exception:  # noqa: BLE001, S110 (whatever it is, it is no text, and the rules say so)
        pass
    return value


class Unreadable:
    """Stands for a value that raises as soon as anybody looks at it, such as a lazy object that can't be made."""

    def __init__(self, error: Exception) -> None:
        self._error = type(error).__name__

    def __str__(self) -> str:
        return f"a value that raises {self._error} when it is read"


def settled(value: Any) -> Any:
    try:
        isinstance(value, str)
    except Exception as error:  # noqa: BLE001 (whatever it raises, nothing can be made of it)
        return Unreadable(error)
    return value


def shown(value: Any) -> str:
    """Return a value as a message shows it: its repr if that can hold no login, else its type."""
    value = settled(value)
    if isinstance(value, (int, float)):
        value = plain(value)
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value) if len(repr(value)) < 50 else "a very long number"
    if isinstance(value, (str, bytes, PurePath)):
        text = repr(value)
        if may_be_shown(str(plain(value))):
            return text if len(text) <= 100 else f"{text[:80]}... ({len(value) if isinstance(value, str) else 'long'})"
    return kind(value)


def kind(value: Any) -> str:
    """Return what may be shown of a value that can be a secret."""
    return str(value) if isinstance(value, Unreadable) else f"a value of type {type(value).__name__}"


def shown_key(key: Any) -> str:
    """Return a key as a message shows it; one that can't be a key's name may be anything, so only its type is."""
    if not isinstance(key, str):
        return f"<{type(key).__name__}>"
    return str(key) if re.fullmatch(r"[\w. -]{1,64}", key) else "<not shown>"


def invisible(text: str) -> str:
    """Return what is in a text that nobody sees, as a phrase, or "" if there is nothing."""
    if text.isascii() and text.isprintable() and text[:1] != " " and text[-1:] != " ":
        return ""
    for position, character in enumerate(text):
        if " " < character < "\x7f" or (character == " " and 0 < position < len(text) - 1):
            continue
        at_an_end = position in (0, len(text) - 1)
        if unicodedata.category(character) in _INVISIBLE or (at_an_end and character.isspace()):
            return f"{_described(character)} {_position(position, len(text))}"
    return ""


def visible(text: str) -> str:
    """Return a text without what nobody sees in it, quotes and all else kept."""
    if text.isascii() and text.isprintable() and text[:1] != " " and text[-1:] != " ":
        return text
    return "".join(each for each in text if unicodedata.category(each) not in _INVISIBLE).strip()


def _described(character: str) -> str:
    if character == " ":
        return "a blank"
    if "\udc80" <= character <= "\udcff":
        return "a byte that is not UTF-8"
    name = unicodedata.name(character, "control character")
    return _NAMES.get(character, f"the invisible character U+{ord(character):04X} ({name})")


def _position(position: int, length: int) -> str:
    if position == length - 1:
        return "at its end"
    return "at its beginning" if position == 0 else "in it"


def is_sendable(text: str) -> bool:
    """Whether libpq can be given this text at all: no NUL, and nothing that UTF-8 can't express."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def holds_login(text: str) -> bool:
    """Whether a password may be in the text, as it is in a URL or a conninfo string; if so, it must not be shown."""
    return bool(_LOGIN.search(text))


def may_be_shown(text: str) -> bool:
    """Whether a text is surely no secret, not even with line breaks between its parts."""
    text = visible(text)
    return not (holds_login(text) or holds_pem(text) or TOKEN.search(text) or re.search(r":.*@", text))


def is_token(text: str) -> bool:
    """Whether this is a token, which is a secret."""
    return TOKEN.fullmatch(text) is not None


def is_word(text: str) -> bool:
    """Whether this is an ordinary name, number or path, in which there is nothing to look for."""
    return _WORD.fullmatch(text) is not None


def holds_pem(text: str) -> bool:
    """Whether this is the text of a certificate or key: PEM, or the same in one long line of base64."""
    return _PEM.search(text) is not None or re.fullmatch(r"\s*(?:MII|LS0tLS1CRUdJTi)[\w+/=\s]{80,}", text) is not None


def is_url(text: str) -> bool:
    return bool(_URL.search(text))


def has_userinfo(text: str) -> bool:
    """Whether the text has the form user:password@host, or a part of it."""
    return bool(_USERINFO.search(text))


def is_connection_string(text: str) -> bool:
    """Whether the text is a .NET or ODBC connection string."""
    return bool(_DOTNET.search(text))


def is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES


def unquoted(text: str) -> str:
    return text.strip(_QUOTES)


def is_placeholder(text: str) -> bool:
    """Whether the whole text is a variable or a blank to fill in: ``${HOST}``, ``<host>``, ``{{ host }}``."""
    return bool(_PLACEHOLDER.fullmatch(text.strip()))


def has_placeholder(text: str) -> bool:
    return bool(_PLACEHOLDER.search(text))


def listed(items: Any) -> str:
    return ", ".join(repr(item) for item in items)


def is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def is_given(value: Any) -> bool:
    """Whether Django would pass it on: it tests for truth, so "" and None leave the choice to libpq."""
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 (an array, say, which has no truth value)
        return True
