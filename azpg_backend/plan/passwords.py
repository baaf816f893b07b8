"""The shapes that show that a password is no password: a reference, a placeholder, a stray line break.

Any of them may be right all the same, so each is a warning. None is ever shown.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from django.utils.functional import Promise

from azpg_backend.plan import texts

_FILL_IN = "Set it to the password itself; whatever should fill in this value did not run."
KEY_VAULT_REMEDY = (
    "App Service resolves it only if the app's identity may read secrets in that vault: look at the setting's "
    "status in the portal, and restart the app."
)
# The word for a missing value, turned into text.
MISSING = re.compile(r"(none|null|undefined|nil)\Z", re.IGNORECASE)
_RESOLVE = "Let the platform or your settings resolve it first; the backend sends what stands here."
_IS_PATH = (
    "is the path of a file, not what the file holds",
    "Read the file in settings.py: Path(...).read_text().strip().",
)
# A pattern, what the text then is (continuing "PASSWORD ..."), and what to do. The first that matches counts.
SHAPES: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"@Microsoft\.KeyVault\(|https://[\w-]+\.vault\.[a-z.]+/secrets/|keyvaultref:", re.IGNORECASE),
        "is a Key Vault reference, not the secret that it refers to",
        KEY_VAULT_REMEDY,
    ),
    (
        re.compile(r"vault:|secretref:|op://|arn:aws:|projects/[^/]+/secrets/|ref\+\w+:|sm://|akvs?://|env:", re.I),
        "is a reference to a secret, not the secret",
        _RESOLVE,
    ),
    (
        re.compile(r"\$ANSIBLE_VAULT|ENC\[|!vault|-----BEGIN"),
        "is an encrypted value or a key, not a password",
        _RESOLVE,
    ),
    (
        re.compile(r"(export\s+)?\w*PASSWORD\w*(\s*=|:\s)", re.IGNORECASE),
        "is a line of an env or YAML file, name and all",
        "Set it to what stands behind the name.",
    ),
    (re.compile(r"[\w+]+://"), "is a URL, not a password", "Set it to the password alone."),
    (
        texts.TOKEN,
        "is a token, which is valid for an hour or so",
        "Remove it, and set 'azpg': {'auth': 'entra'} in OPTIONS: the engine then fetches tokens itself.",
    ),
    (
        re.compile(r"SCRAM-SHA-256\$\d+:|md5[0-9a-f]{32}\Z"),
        "is what a server stores instead of a password, and nobody can log in with it",
        "Set it to the password itself.",
    ),
    (
        re.compile(r"[\[{].*[\"']\w+[\"']\s*:.*[\]}]\s*", re.DOTALL),
        "is a JSON document",
        "Take the password out of it.",
    ),
    (
        re.compile(
            r"(\*{3,}|\u2022{3,}|[xX]{4,}|\.{3,}"
            r"|[(\[](sensitive( value)?|known after apply|redacted|masked|hidden)[)\]])\Z",
            re.IGNORECASE,
        ),
        "is a mask, as logs and portals show it",
        _FILL_IN,
    ),
    (re.compile(r"\$([A-Z_][A-Z0-9_]*|env:\w+)\Z"), "is the name of a variable, which nothing replaced", _FILL_IN),
    (
        re.compile(
            r"((var|local|module|data|secrets|process\.env|random_password|azurerm_\w+)\.[A-Za-z_][\w.]*"
            r"|(os\.environ|os\.getenv|getenv|env|config|file|lookup)[(\[].*[)\]]|!(Ref|Sub|GetAtt|ImportValue|secret)\s.*)\Z"
        ),
        "is an expression, which nothing evaluated",
        _FILL_IN,
    ),
    (
        MISSING,
        "is the word for a missing value, turned into text",
        _FILL_IN,
    ),
    (
        re.compile(
            r"b(['\"]).*\1\Z|[(\[]b?(['\"]).*\2,?[)\]]\Z|<[\w.]+ (object at 0x\w+|\[.*\])>\Z|[\w.]*Secret\w*\(.*\)\Z",
            re.DOTALL,
        ),
        "is how Python writes a value of another type (bytes, a list, an object), turned into text",
        "Make text of the value in settings.py: .decode() for bytes, [0] for a list, .value for a Key Vault secret.",
    ),
    (
        re.compile(
            r"[\[({]?(change[-_ ]?(me|it|this)[!.\d]*|tbd"
            r"|(your|my|the|insert|enter|put|replace|server|admin|db)[-_ ]?(\w+[-_ ])*"
            r"(password|passwd|secret)[-_ ]?(here)?|replace[-_ ]?me|to[-_ ]?do|placeholder|example|redacted)[\])}]?\Z",
            re.IGNORECASE,
        ),
        "is a placeholder from an example",
        _FILL_IN,
    ),
    (
        re.compile(r"(/(run|var/run|mnt|etc)/\S*|[A-Z]:\\\S*|file:\S*)\Z"),
        *_IS_PATH,
    ),
)


def judged(value: Any) -> tuple[str, str]:
    """Return a phrase for what is doubtful about a password and what to do, or ("", "").

    The phrase goes on from the key: "is ...", "ends in ...".
    """
    if isinstance(value, Promise):
        value = texts.plain(value)
    if isinstance(value, PurePath):
        return _IS_PATH
    return _judged_text(texts.plain(value)) if isinstance(value, str) else _of_another_type(value)


def _judged_text(text: str) -> tuple[str, str]:
    if unseen := texts.invisible(text):
        return (
            f"has {unseen}",
            "Remove it: a file's last line break, or a copied blank, is sent as part of the password.",
        )
    if texts.is_quoted(text) and not texts.is_placeholder(text):
        return (
            "stands in quotes, which are sent as part of it",
            "Remove the quotes: env files and shells differ in this.",
        )
    for pattern, shape, hint in SHAPES:
        if pattern.match(text):
            return shape, hint
    if texts.is_placeholder(text):
        return "is a variable or a placeholder that nothing replaced", _FILL_IN
    return "", ""


def _of_another_type(value: Any) -> tuple[str, str]:
    kind = type(value).__name__
    if hasattr(value, "get_secret_value"):
        return f"is a {kind}, whose text is a mask", "Write .get_secret_value() behind it."
    if isinstance(value, (bool, int, float)):
        hint = "Put it in quotes: a number loses its leading zeros, and YAML turns more than digits into numbers."
    else:
        hint = "Write text: str(...) around it, if that gives the password."
    return f"is of type {kind}, not text", hint


def problem(value: Any) -> str:
    """Return why a value can't be a password at all, as a phrase, or ""."""
    if isinstance(value, texts.Unreadable):
        return f"is {value}"
    if isinstance(value, str):
        text = texts.plain(value)
        return "" if texts.is_sendable(text) else f"has {texts.invisible(text)}, which no password can have"
    if isinstance(value, (bytes, bytearray, memoryview, list, tuple, dict, set, frozenset)):
        return f"is of type {type(value).__name__}, not text"
    try:
        sendable = texts.is_sendable(str(value))
    except Exception:  # noqa: BLE001 (its type is unknown, and so are its errors)
        sendable = False
    return "" if sendable else f"is of type {type(value).__name__}, which has no usable text"
