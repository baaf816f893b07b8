"""Connections across a fork, as with gunicorn --preload or Celery's prefork: the parent's stay the parent's.

A child that used one would write into the parent's TLS session, with its keys and at its place in the sequence, and a
child that closed one would end the parent's session at the server. So the child forgets them and connects anew.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper

_wrappers: weakref.WeakSet[DatabaseWrapper] = weakref.WeakSet()
# Pools outlive the wrappers of the threads that used them.
_aliases: set[str] = set()
# Kept, for a driver would warn of a connection, or stop a pool, that nobody refers to any more.
_inherited: list[Any] = []


def watch(wrapper: DatabaseWrapper) -> None:
    """Let a child forget a wrapper's connection, and its alias's pool."""
    _wrappers.add(wrapper)
    _aliases.add(wrapper.alias)


def _forget() -> None:
    for wrapper in list(_wrappers):
        if wrapper.connection is not None:
            _inherited.append(wrapper.connection)
            wrapper.connection = None
            # As Django's close() does: a transaction does not go on in another session.
            if wrapper.in_atomic_block:
                wrapper.closed_in_transaction = True
                wrapper.needs_rollback = True
    for alias in _aliases:
        # django-stubs has no such attribute.
        _inherited.append(DatabaseWrapper._connection_pools.pop(alias, None))  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
