"""The Plan of each alias, decided once, and again only when something has changed that it was decided from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from azpg_backend import policy
from azpg_backend.policy import Plan


class _Kept:
    """A decision and all that it was decided from, which may hold secrets."""

    def __init__(self, plan: Plan, settings: Mapping[str, Any], environ: Mapping[str, str | None]) -> None:
        self.plan = plan
        self.settings = settings
        self.environ = tuple(environ.items())

    def holds_for(self, settings_dict: Mapping[str, Any]) -> bool:
        if self.settings != settings_dict:
            return False
        return all(os.environ.get(name) == value for name, value in self.environ)


class _Noting(Mapping[str, str]):
    """The process's environment, noting which variables were asked for and what they held."""

    def __init__(self) -> None:
        self.asked: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        value = self.asked[name] = os.environ.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)


_kept: dict[str, _Kept] = {}


def plan_of(alias: str, settings_dict: Mapping[str, Any]) -> Plan:
    """Return what this alias asks of libpq, with settings and environment as they are now.

    A service is read afresh each time: its file may have changed.
    """
    kept = _kept.get(alias)
    if kept is not None and kept.holds_for(settings_dict):
        return kept.plan
    environ = _Noting()
    plan = policy.decide(alias, settings_dict, environ=environ)
    if not plan.params.get("service") and not environ.asked.get("PGSERVICE"):
        _kept[alias] = _Kept(plan, _copied(settings_dict), environ.asked)
    return plan


def forget() -> None:
    """Forget all decisions, as in a new process."""
    _kept.clear()


def _copied(value: Any) -> Any:
    """Copy dicts and lists all the way down, so that a later change of one is noticed; credentials stay themselves."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return value
