"""What the user wrote: HOST, its neighbours, the keys of OPTIONS, as libpq's keywords."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from azpg_backend.errors import settings as find
from azpg_backend.errors.problem import Place, Problem
from azpg_backend.plan import foreign, libpq, texts
from azpg_backend.plan.sources import Setting

_DJANGO = (("USER", "user"), ("HOST", "host"), ("PORT", "port"), ("PASSWORD", "password"))


def settings(
    alias: str, given: Mapping[str, Any], options: Mapping[Any, Any], knows: Callable[[str], bool]
) -> dict[str, Setting]:
    """Return libpq's keywords as Django will pass them: OPTIONS["dbname"] beats NAME, USER beats OPTIONS["user"]."""
    found: dict[str, Setting] = {}
    name = given.get("NAME", "")
    if name is None:
        # Django's way to the maintenance database.
        found["dbname"] = Setting("dbname", "postgres", Place(alias, "NAME"))
    elif texts.is_given(name):
        found["dbname"] = Setting("dbname", texts.settled(name), Place(alias, "NAME"))
    for key, value in options.items():
        if value is not None and _is_for_libpq(key, knows):
            found[key] = Setting(key, texts.settled(value), Place(alias, key))
    for key, keyword in _DJANGO:
        if texts.is_given(given.get(key)):
            found[keyword] = Setting(keyword, texts.settled(given[key]), Place(alias, key))
    return found


def _is_for_libpq(key: Any, knows: Callable[[str], bool]) -> bool:
    if not isinstance(key, str) or key in foreign.REFUSED or key in foreign.NOT_FOR_LIBPQ:
        return False
    return key.isascii() and key.islower() and knows(key)


def key_problems(
    alias: str, given: Mapping[str, Any], options: Mapping[Any, Any], knows: Callable[[str], bool]
) -> Iterator[Problem]:
    """Judge the keys themselves: those of OPTIONS, and those beside it that nothing reads."""
    for key, value in options.items():
        if (problem := _key_problem(alias, key, value, knows)) is not None:
            yield problem
    for key, remedy in foreign.beside_options(given):
        # Written out, because a lower-case key would be taken for one of OPTIONS.
        yield find.misplaced_key(f"DATABASES[{alias!r}][{key!r}]", remedy)


def _key_problem(alias: str, key: Any, value: Any, knows: Callable[[str], bool]) -> Problem | None:
    if not isinstance(key, str):
        what = f"has a key of type {type(key).__name__}, and the keys of OPTIONS are names"
        return find.invalid(Place(alias, "OPTIONS"), what, "Write the name of a libpq keyword in quotes.")
    owner = foreign.OF_ONE_DRIVER.get(key, libpq.driver())
    if value is not None and owner != libpq.driver():
        what = f"is an argument of {owner}, and the driver is {libpq.driver()}"
        return find.invalid(Place(alias, key), what, "Remove it.")
    if key in foreign.NOT_FOR_LIBPQ or _is_for_libpq(key, knows):
        return None
    shown = texts.shown_key(key)
    if shown != key:
        return find.invalid(Place(alias, "OPTIONS"), "has a key that is no name (not shown)", "Remove it.")
    place = f"{Place(alias, 'OPTIONS')}[{key!r}]"
    if key in foreign.REFUSED:
        hint = "Write the keywords as keys of OPTIONS; this backend chooses sslmode itself."
        return find.invalid(place, foreign.REFUSED[key], hint)
    if key in foreign.OTHER_POOLS:
        return find.foreign_key(place, foreign.OTHER_POOLS[key])
    if value is None and key in libpq.NEWER:
        return None
    return find.invalid(place, "is not known to libpq or Django", foreign.remedy(key, value))


def withheld(options: Mapping[Any, Any]) -> frozenset[str]:
    """Return the keys of OPTIONS that must not reach the driver."""
    return frozenset({"azpg", *(key for key in options if isinstance(key, str) and key in foreign.OTHER_POOLS)})
