"""The rules applied: what has the wrong type, or can't be right, becomes a problem instead of a parameter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from azpg_backend.errors import settings as find
from azpg_backend.errors.problem import Place, Problem
from azpg_backend.errors.redact import SECRET_KEYWORDS
from azpg_backend.plan import host_text, passwords, texts
from azpg_backend.plan.host_text import Objection, TextRule
from azpg_backend.plan.rules import DJANGO, LIBPQ, OPTIONS, PLAIN_TEXT, TEST, Rule
from azpg_backend.plan.sources import Setting

# Values of these are judged with their meaning, in plan.tls; here only their text is.
_JUDGED_LATER = frozenset(
    {"sslmode", "ssl_min_protocol_version", "ssl_max_protocol_version", "gssencmode", "sslrootcert"}
)
_FETCHED = (
    "Tokens belong nowhere in the settings: with 'azpg': {'auth': 'entra'} in OPTIONS the engine fetches its own."
)
_LISTS = frozenset({"host", "hostaddr", "port"})
# Words for yes; Django takes every other text for it too.
_TRUE = frozenset({"true", "yes", "on", "1"})


def judged(settings: Iterable[Setting]) -> tuple[dict[str, Setting], list[Problem]]:
    """Return the settings that libpq may be given, as plain text and numbers, and what is wrong with the others."""
    kept: dict[str, Setting] = {}
    problems: list[Problem] = []
    for setting in settings:
        plain = _plain(setting)
        problem = _secret_problem(plain) if plain.keyword in SECRET_KEYWORDS else _problem(plain)
        if problem is not None:
            problems.append(problem)
        if problem is None or not problem.is_error:
            kept[plain.keyword] = plain
    return kept, problems


def _plain(setting: Setting) -> Setting:
    value = setting.value
    if type(value) in (str, int) or setting.keyword in SECRET_KEYWORDS:
        return setting
    if setting.keyword == "dbname" and isinstance(value, os.PathLike):
        # Django counts NAME's characters, which a path does not have.
        return setting
    return setting._replace(value=texts.plain(value))


def _secret_problem(setting: Setting) -> Problem | None:
    """A password that may be right is only warned about; one that libpq can't be given is refused."""
    if why := passwords.problem(setting.value):
        return find.invalid(setting.where, why, "Set it to the password, as text.")
    shape, hint = passwords.judged(setting.value) if setting.keyword == "password" else ("", "")
    return find.doubtful_password(setting.where, shape, hint) if shape else None


def _problem(setting: Setting) -> Problem | None:
    value, where = setting.value, setting.where
    rule = LIBPQ.get(setting.keyword, PLAIN_TEXT)
    text_rule = host_text.user if isinstance(where, Place) and where.key == "USER" else rule.text
    if isinstance(value, str):
        objection = _text_objection(setting.keyword, value, text_rule)
        if objection is not None:
            return find.invalid(where, *objection)
    elif text_rule is host_text.port and rule.fits(value):
        objection = host_text.port(str(value))
        return find.invalid(where, *objection) if objection else None
    if setting.keyword in _JUDGED_LATER or _fits(rule, value):
        return None
    return find.invalid(where, f"is {texts.shown(value)}, not {rule.words}", rule.remedy)


def _text_objection(keyword: str, text: str, rule: TextRule | None) -> Objection:
    """Judge a text without what nobody sees in it, so that no line break hides a URL; then what nobody sees."""
    if texts.is_word(text):
        return rule(text) if rule is not None else None
    items = text.split(",") if keyword in _LISTS else [text]
    visible = ",".join(map(texts.visible, items))
    if texts.holds_pem(visible):
        hint = "Write the text into a file and its path here"
        roots = ", or remove it: the roots of Azure are in this package" if keyword == "sslrootcert" else ""
        return "holds a certificate or key (not shown), and libpq wants the path of a file", f"{hint}{roots}."
    if texts.is_token(visible):
        return "is a token (not shown)", _FETCHED
    if rule is not None and visible and (objection := rule(visible)):
        return objection
    if texts.holds_login(visible):
        return "holds a URL or a password, and is not shown for that reason", "Remove it: the password is PASSWORD."
    unseen = next(((number, found) for number, each in enumerate(items, 1) if (found := texts.invisible(each))), None)
    if unseen is None or keyword == "sslmode":
        return None
    number, found = unseen
    what = f"there is {found}" if len(items) == 1 else f"element {number} of the list has {found}"
    hint = "Remove it; in settings.py, .strip() takes off what a file or an env file adds."
    return f"is {texts.shown(text)}: {what}", hint


def django_problems(alias: str, settings: Mapping[str, Any], options: Mapping[Any, Any]) -> list[Problem]:
    """Judge Django's own keys, which libpq never sees: those beside OPTIONS, in it, and in TEST."""
    problems = _by_table(alias, "", settings, DJANGO) + _by_table(alias, "", options, OPTIONS)
    test = texts.settled(settings.get("TEST"))
    if isinstance(test, Mapping):
        problems += _by_table(alias, "TEST.", test, TEST)
    return problems


def _by_table(alias: str, prefix: str, settings: Mapping[Any, Any], table: Mapping[str, Rule]) -> list[Problem]:
    problems = []
    for key, rule in table.items():
        if key in settings and (problem := by_rule(Place(alias, prefix + key), settings[key], rule)):
            problems.append(problem)
    return problems


def by_rule(where: Place, value: Any, rule: Rule) -> Problem | None:
    """Judge a value that Django or the pool gets."""
    value = texts.plain(texts.settled(value))
    if rule.words == "True or False" and isinstance(value, str):
        return _flag_problem(where, value, rule)
    if not _fits(rule, value):
        return find.invalid(where, f"is {texts.shown(value)}, not {rule.words}", rule.remedy)
    if isinstance(value, str) and (objection := _text_objection("", value, rule.text)):
        return find.invalid(where, *objection)
    return None


def _fits(rule: Rule, value: Any) -> bool:
    try:
        return bool(rule.fits(value))
    except Exception:  # noqa: BLE001 (a comparison that raises is no number)
        return False


def _flag_problem(where: Place, value: str, rule: Rule) -> Problem | None:
    if value == "":
        return None
    if value.strip().lower() not in _TRUE:
        return find.invalid(where, f"is {texts.shown(value)}, which Django takes for True", rule.remedy)
    return find.text_as_flag(where, value)
