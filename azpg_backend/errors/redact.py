"""What may be shown of a text that came from a server, a certificate or a driver."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MASK = "********"
# libpq keywords that must not be shown, logged or put on a command line.
SECRET_KEYWORDS = frozenset({"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"})
# The start of every JSON object in base64, hence of every JSON Web Token (RFC 7519): whole, cut off, or a part of it.
_TOKEN = re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}", re.ASCII)


class Secret(str):
    """A string that a debugger's or an error page's view of local variables does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def printable(text: str, limit: int = 500) -> str:
    """Return one line without control or invisible formatting characters, cut to so many characters.

    A server's message or a certificate's name could otherwise move a terminal's cursor, recolour it, or turn the
    direction of the text (Unicode categories Cc, Cf, Co, Cs, Zl and Zp are written as escapes).
    """
    line = " ".join(text.split())
    shown = "".join(each if _is_plain(each) else each.encode("unicode_escape").decode("ascii") for each in line)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def _is_plain(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}


def without(text: str, secrets: Iterable[str]) -> str:
    """Replace every occurrence of the secrets: a server that was given one could send it back in its message.

    What looks like a token is masked too: a library's or a server's text may hold one that is not known here.
    """
    text = _TOKEN.sub(MASK, text)
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
