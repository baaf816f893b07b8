"""What may be shown of a text that came from a server, a certificate or a driver."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MASK = "********"
# libpq keywords that must not be shown, logged or put on a command line.
SECRET_KEYWORDS = frozenset({"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"})
# Characters below which a secret is not masked: it occurs in any text, and a mask would tell what it is.
SHORTEST = 4
# The start of every JSON object in base64, hence of every JSON Web Token (RFC 7519): whole, cut off, or a part of it.
_TOKEN = re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}", re.ASCII)
_ORDINARY_BLANKS = re.compile(r"[ \t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
# The words of libpq, PostgreSQL, PgBouncer and the drivers in a failed connect. A mask for one of them, as in
# "******** authentication failed", would tell what the password is.
_COMMON = """
    abnormally accepting access acquire address administrator again alert all allow already any are associated
    at attempts attribute audience authentication available azpg_check azure bad been before between binding
    broken by cached certificate change channel cleartext client_login_timeout clients closed command
    configuration connection connections conninfo could data database denied detail: detected disable disabled
    does down due either encryption entra entry eof error: exist expired failed failing failure failures
    fatal: file for format gssapi handshake has hello hint: host hostaddr hostname hot ident in indicate
    invalid is ldap log login manage.py many match may md5 means method microsoft missing mode multiple name
    negotiation network new no non-replication not notice: number on only operation options or out parameter
    passwd password peer permission permitted pg_hba.conf pipe please pooler port postgres postgresql prefer
    primary privileges probably processing protocol provide query_wait_timeout radius read read-only received
    recovery refused rejects remaining replication request requested require requirement reserved reset
    resolution resolve resource response role roles root roots route run running sasl scram-sha-256 server
    server_login_retry service session shutting slots socket ssl sslmode sspi standby starting startup string
    such superuser supplied support syscall system tcp/ip temporary terminated terminating that the this timed
    timeout tls to token too transaction translate trust trusted try unexpected unexpectedly unknown
    unreachable unrecognized unsupported up user valid value verification verify verify-ca verify-full version
    waiting warning: were while with wrong yet
"""
_WORDS = frozenset(_COMMON.split())


class Secret(str):
    """A string that a debugger's or an error page's view of local variables does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def is_common(secret: str) -> bool:
    """Whether a secret is part of the words that every failed connect may contain, or a row of them."""
    words = secret.lower().split() or [secret]
    return all(any(each in word for word in _WORDS) for each in words)


def printable(text: str, limit: int = 500) -> str:
    """Return one line without control or invisible formatting characters, cut to so many characters.

    A server's message or a certificate's name could otherwise move a terminal's cursor, recolour it, or turn the
    direction of the text (Unicode categories Cc, Cf, Co, Cs, Zl and Zp are written as escapes). Blanks that only look
    like one, such as a no-break space, are escapes too: what is wrong with a name may be just that.
    """
    line = " ".join(text.split()) if text.isascii() else " ".join(filter(None, _ORDINARY_BLANKS.split(text)))
    # What Python calls printable has none of them, which it can tell of a whole line at once.
    if not line.isprintable():
        line = "".join(each if _is_plain(each) else each.encode("unicode_escape").decode("ascii") for each in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _is_plain(character: str) -> bool:
    return character == " " or unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Zs"}


def without(text: str, secrets: Iterable[str]) -> str:
    """Replace every occurrence of the secrets: a server that was given one could send it back in its message.

    What looks like a token is masked too: a library's or a server's text may hold one that is not known here.
    """
    text = _TOKEN.sub(MASK, text)
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
