"""Traps: settings that work today but fail on a bad day, behind PgBouncer, under ASGI or with a pool."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings as django_settings

from azpg_backend.errors import settings as find
from azpg_backend.errors.problem import Place, Problem
from azpg_backend.plan import hosts, rules, texts, values
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.plan.sources import Settings


class Alias(NamedTuple):
    """What the traps are looked for in.

    settings: DATABASES[alias].
    options: OPTIONS, or {} if it is no dict.
    effective: what libpq will use, wherever it comes from.
    local: the alias does without TLS on this machine.
    """

    name: str
    settings: Mapping[str, Any]
    options: Mapping[Any, Any]
    endpoints: tuple[Endpoint, ...]
    effective: Settings
    entra: bool
    local: bool

    def place(self, key: str) -> Place:
        return Place(self.name, key)

    def has(self, key: str) -> bool:
        return texts.is_given(self.settings.get(key))


def found(alias: Alias) -> list[Problem]:
    return [problem for trap in _TRAPS for problem in trap(alias)]


def _name(alias: Alias) -> Iterator[Problem]:
    name = alias.settings.get("NAME", "")
    if name is not None and not texts.is_given(name) and not texts.is_given(alias.options.get("service")):
        yield find.missing_name(alias.place("NAME"))


def _user(alias: Alias) -> Iterator[Problem]:
    if "user" not in alias.effective:
        if not (alias.entra or alias.local or alias.has("USER") or texts.is_given(alias.options.get("user"))):
            yield find.no_user(alias.place("USER"))
        return
    setting = alias.effective["user"]
    user = str(setting.value)
    if any(hosts.is_server_behind(user, each.host) for each in alias.endpoints):
        yield find.user_at_server(setting.where, user)


def _pgbouncer(alias: Alias) -> Iterator[Problem]:
    pooled = [each.port for each in alias.endpoints if each.port in hosts.PGBOUNCER_PORTS]
    if not pooled:
        return
    port = pooled[0]
    if not alias.has("DISABLE_SERVER_SIDE_CURSORS"):
        yield find.server_side_cursors(alias.effective["port"].where, port)
    if "options" in alias.effective and alias.effective["options"].value:
        yield find.startup_parameter(alias.effective["options"].where, port)
    if texts.is_given(alias.options.get("assume_role")):
        yield find.session_role(alias.place("assume_role"), port)
    if alias.options.get("prepare_threshold") is not None:
        yield find.prepared_statements(alias.place("prepare_threshold"), port)
    binding = alias.effective.get("channel_binding")
    if binding is not None and binding.value == "require":
        yield find.no_channel_binding(binding.where, port)


def _kept_connections(alias: Alias) -> Iterator[Problem]:
    if not _keeps_connections(alias):
        return
    if _under_asgi():
        yield find.connections_under_asgi(alias.place("CONN_MAX_AGE"))
    elif not alias.has("CONN_HEALTH_CHECKS"):
        yield find.health_checks(alias.place("CONN_MAX_AGE"))


def _keeps_connections(alias: Alias) -> bool:
    age = texts.settled(alias.settings.get("CONN_MAX_AGE", 0))
    return age is None or (rules.AGE.fits(age) and age != 0)


def _under_asgi() -> bool:
    return django_settings.configured and bool(getattr(django_settings, "ASGI_APPLICATION", None))


def _pool(alias: Alias) -> Iterator[Problem]:
    pool = texts.settled(alias.options.get("pool"))
    if not texts.is_given(pool):
        return
    place = alias.place("pool")
    if pool is not True and not isinstance(pool, Mapping):
        yield find.invalid(place, f"is {texts.shown(pool)}, not True, False or a dict", "Write True, or a dict.")
        return
    if missing := _missing_for_pool():
        yield find.invalid(place, f"is set, but {missing}", 'Run: pip install "django-azpg[psycopg]"; or remove it.')
        return
    if _keeps_connections(alias):
        what = "is set beside OPTIONS['pool'], and Django allows only one of them"
        yield find.invalid(alias.place("CONN_MAX_AGE"), what, "Remove CONN_MAX_AGE: the pool keeps connections open.")
    checks = isinstance(pool, Mapping) and pool.get("check") is not None
    if not alias.has("CONN_HEALTH_CHECKS") and not checks:
        yield find.unchecked_pool(place)
    if isinstance(pool, Mapping):
        yield from _pool_arguments(alias, pool)


def _missing_for_pool() -> str:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if not is_psycopg3:
        # The last words are Django's own.
        return "the driver is psycopg2: Database pooling requires psycopg >= 3"
    return "" if _pool_parameters() else "the package psycopg_pool is not installed"


@lru_cache(maxsize=1)
def _pool_parameters() -> frozenset[str]:
    """Return the arguments of the installed pool; none if there is no such package."""
    if importlib.util.find_spec("psycopg_pool") is None:
        return frozenset()
    from psycopg_pool import ConnectionPool

    return frozenset(inspect.signature(ConnectionPool).parameters)


def _pool_arguments(alias: Alias, pool: Mapping[Any, Any]) -> Iterator[Problem]:
    known = _pool_parameters() or rules.POOL.keys()
    for key, value in pool.items():
        place = alias.place(f"pool.{texts.shown_key(key)}")
        if isinstance(key, str) and key in rules.POOL_TAKEN:
            yield find.invalid(place, "is an argument that Django gives to the pool itself", rules.POOL_TAKEN[key])
        elif not isinstance(key, str) or key not in known:
            names = texts.listed(sorted(set(known) - rules.POOL_TAKEN.keys()))
            yield find.invalid(place, "is not an option of psycopg's pool", f"Valid keys: {names}.")
        elif key in rules.POOL and (problem := values.by_rule(place, value, rules.POOL[key])):
            yield problem
    least, most = texts.settled(pool.get("min_size", 4)), texts.settled(pool.get("max_size"))
    sizes = isinstance(least, int) and isinstance(most, int) and rules.POOL["max_size"].fits(most)
    if sizes and least > most:
        beside = repr(least) if "min_size" in pool else "4, the default,"
        what = f"is {most}, less than min_size, which is {beside.rstrip(',')}"
        yield find.invalid(alias.place("pool.max_size"), what, "Set min_size to max_size or less.")


_TRAPS = (_name, _user, _pgbouncer, _kept_connections, _pool)
