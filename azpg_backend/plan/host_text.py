"""The rules for the text of HOST, PORT, USER, NAME: what is too much in it, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from azpg_backend.errors.settings import FULL_NAME
from azpg_backend.plan import hosts, texts

# A phrase that goes on from the key, and what to do; None if the text is all right.
Objection: TypeAlias = "tuple[str, str] | None"
TextRule = Callable[[str], Objection]

_PARTS = "Put each part into its own setting: NAME, USER, PASSWORD, HOST, PORT (dj-database-url does that for a URL)."
_NAME_ALONE = f"Write only {FULL_NAME}: no scheme, user, password, path or query."
_UNKNOWN = "is a placeholder that nothing replaced"

_SLASHES = "/\\"
# What is copied along with a name.
_TRAILING = ";#=?&)]}>|"
# A variable of a shell or of PowerShell.
_VARIABLE = re.compile(r"\$(?:env:)?[A-Za-z_]\w*")
# A host name that needs no closer look.
_ORDINARY = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,9}[a-z]{2,20}")
# What Python, JSON and JavaScript make of a value that is not there.
_MISSING = ("None", "null", "undefined")


def host(text: str) -> Objection:
    """Judge HOST, a list with commas included. Only what can't hold a password is shown."""
    if _ORDINARY.fullmatch(text):
        return None
    if text.lower().startswith("@microsoft.keyvault("):
        return "is a Key Vault reference that nothing resolved", f"Set HOST to {FULL_NAME}; it is no secret."
    if texts.is_url(text):
        return "is a URL, or a part of one (not shown: it may hold a password)", _NAME_ALONE
    if text.lower().startswith("/subscriptions/"):
        return "is a resource id, which names the server only inside Azure", f"Set HOST to {FULL_NAME}."
    if texts.is_placeholder(text):
        return f"is {texts.shown(text)}, which {_UNKNOWN}", f"Set HOST to {FULL_NAME}."
    if re.match(r"[\[{(]\s*[\"']", text):
        return f"is a list or JSON as text: {texts.shown(text)}", "Write the name alone, without brackets and quotes."
    for item in text.split(","):
        if item and (found := _one_host(item)):
            return found
    return None


def _one_host(item: str) -> Objection:
    if hosts.is_socket_directory(item):
        return None
    return _foreign_form(item) or _too_much(item) or _no_host_name(item)


def _foreign_form(item: str) -> Objection:
    """Judge what is another kind of text than a name. It may hold a password, so it is not shown."""
    name = item.rstrip(_TRAILING)
    if name != item and _ORDINARY.fullmatch(name):
        return f"ends in {item[len(name) :]!r}: {item!r}", f"Write {name!r}."
    if "=" in item or ";" in item:
        return "is a connection string (not shown: it may hold a password)", _PARTS
    if "@" in item:
        return "has an '@' in it (not shown: it may hold a password)", _NAME_ALONE
    if "/" in item.rstrip("/") or "?" in item or "#" in item:
        return "has more in it than a name: a path or a query (not shown: it may hold a password)", _NAME_ALONE
    if texts.has_placeholder(item) or _VARIABLE.fullmatch(item):
        return f"is {texts.shown(item)}, which {_UNKNOWN}", f"Set HOST to {FULL_NAME}."
    return None


def _too_much(item: str) -> Objection:
    """Judge a name with something beside it, for which we know what to write."""
    if any(quote in item for quote in "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"):
        return f"has quotes in it: {item!r}", "Remove the quotes."
    if item.startswith("["):
        return f"has brackets in it: {item!r}", "Write an IPv6 address without brackets, and the port into PORT."
    if item.endswith(("/", "\\")):
        return f"ends in a slash: {item!r}", f"Write {item.rstrip(_SLASHES)!r}."
    if item.endswith("."):
        return f"ends in a dot: {item!r}, which no certificate matches", f"Write {item.rstrip('.')!r}."
    if found := re.fullmatch(r"([^:]*):(\d+(?:-\d+)?)?", item):
        port = f", and the port {found[2]} into PORT" if found[2] else ""
        return f"has a port in it: {item!r}", f"Write {found[1]!r} into HOST{port}."
    if ":" in item and not hosts.is_ip_address(item):
        return "has a ':' in it (not shown: it may hold a password)", _NAME_ALONE
    return None


def _no_host_name(item: str) -> Objection:
    if hosts.is_ip_address(item):
        return None
    if item.lower() in map(str.lower, _MISSING):
        return f"is the text {item!r}, which is what a missing value becomes", f"Set HOST to {FULL_NAME}."
    if item.isdigit():
        return f"has the number {item} in its list of names", "Write the port into PORT."
    if "%2f" in item.lower():
        return f"is a socket directory, escaped as in a URL: {item!r}", "Write the path with slashes."
    if odd := re.search(r"[^A-Za-z0-9._*-]", item):
        return f"has the character {odd[0]!r} (U+{ord(odd[0]):04X}) in {item!r}", f"Set HOST to {FULL_NAME}."
    if "*" in item:
        return f"is {item!r}, a pattern: libpq needs one server's name", f"Set HOST to {FULL_NAME}."
    if len(item) > 253 or not all(0 < len(label) <= 63 for label in item.split(".")):
        return f"is no host name: {texts.shown(item)} has an empty or a too long part", f"Set HOST to {FULL_NAME}."
    return None


def address(text: str) -> Objection:
    """Judge hostaddr, a list with commas included."""
    for item in text.split(","):
        if item and not hosts.is_ip_address(item):
            shown = (
                repr(item) if re.fullmatch(r"[\w.-]{1,253}|[0-9A-Fa-f.:%/\[\]]{1,60}", item) else "a text (not shown)"
            )
            hint = "Write the address alone, without brackets, mask and port; names belong in HOST."
            return f"does not fit: {shown} is not an IP address", hint
    return None


def port(text: str) -> Objection:
    """Judge PORT: one number, or as many as there are hosts, with commas."""
    hint = "Write one number, such as 5432 or 6432 (Azure's PgBouncer)."
    if texts.is_url(text) or texts.holds_login(text) or "@" in text:
        also = " Kubernetes and Docker set such a variable for a service: a service 'db' makes DB_PORT a URL."
        return "is a URL, or a part of one (not shown: it may hold a password)", hint + also
    for item in text.split(","):
        if item and not (item.isascii() and item.isdigit() and 1 <= int(item[:9]) <= 65535 and len(item) < 9):
            what = _UNKNOWN if texts.has_placeholder(text) else "is not a number from 1 to 65535"
            shown = repr(text) if re.fullmatch(r"[\w.,:+/${}()<>%#'\"=\[\] -]{1,30}", text) else "a text (not shown)"
            return f"is {shown}, which {what}", hint
    return None


def user(text: str) -> Objection:
    """Judge USER. A role's name may hold almost anything, a user principal name's "@" too."""
    if text.isidentifier() and text not in _MISSING:
        return None
    if texts.is_url(text) or texts.has_userinfo(text) or texts.is_connection_string(text):
        return "is a URL or a connection string, or a part of one (not shown: it may hold a password)", _PARTS
    if re.fullmatch(r"[^\s:]*:[^\s:]*", text):
        hint = "Write the role's name alone. If the name itself has a colon, write it as OPTIONS['user'] instead."
        return "has a colon in it, like user:password (not shown: it may hold a password)", hint
    return _wrapped(text)


def option_user(text: str) -> Objection:
    """Judge OPTIONS["user"], the way out for a role's name with a colon."""
    if texts.is_url(text) or texts.has_userinfo(text) or texts.is_connection_string(text):
        return user(text)
    return _wrapped(text)


def database(text: str) -> Objection:
    """Judge NAME. What looks like a conninfo string is a name, and is passed on as one."""
    if texts.is_url(text) or texts.has_userinfo(text) or texts.is_connection_string(text):
        what = "is a URL or a connection string, not the name of a database (not shown: it may hold a password)"
        return what, _PARTS
    if re.search(r"\?[\w.]+=", text):
        return "has the query of a URL in it (not shown: it may hold a password)", _PARTS
    if text.startswith("/") and "/" in text.strip("/"):
        return f"is the path of a file: {texts.shown(text)}", "Write the name of a database on the server."
    if text.startswith("/"):
        return (
            f"begins with a slash: {texts.shown(text)}",
            f"Write {texts.shown(text.lstrip('/'))}: a URL's path has one.",
        )
    if len(text) > 63:
        return f"has {len(text)} characters, and PostgreSQL's limit is 63", "Write a shorter name."
    return _wrapped(text)


def _wrapped(text: str) -> Objection:
    if texts.is_quoted(text):
        return f"stands in quotes: {texts.shown(text)}", f"Write {texts.shown(texts.unquoted(text))}."
    if text in _MISSING:
        return f"is the text {text!r}, which is what a missing value becomes", "Set it to the name itself."
    if texts.is_placeholder(text) or _VARIABLE.fullmatch(text):
        return f"is {texts.shown(text)}, which {_UNKNOWN}", "Set it to the name itself."
    return None
