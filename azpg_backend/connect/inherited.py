"""Connections across a fork, as with gunicorn --preload or Celery's prefork: the parent's stay the parent's.

A child that used one would write into the parent's TLS session, with its keys and at its place in the sequence; a child
that closed one would end the parent's session at the server. So the child leaves them alone and connects anew.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper

from azpg_backend.process.memory import Kept

# Kept for ever: a driver would end a connection, or stop a pool, that nobody refers to any more.
_left_alone: list[Any] = []


class Users:
    """The wrappers and pools of this process."""

    def __init__(self) -> None:
        self.wrappers: weakref.WeakSet[DatabaseWrapper] = weakref.WeakSet()
        # Pools outlive the wrappers of the threads that used them.
        self.pooled_aliases: set[str] = set()


def _in_child(parents: Users) -> Users:
    for alias in parents.pooled_aliases:
        # django-stubs has no such attribute.
        _left_alone.append(DatabaseWrapper._connection_pools.pop(alias, None))  # type: ignore[attr-defined]
    for wrapper in list(parents.wrappers):
        _leave(wrapper)
    return Users()


def _leave(wrapper: Any) -> None:
    """Take a wrapper's connection away, and reset the wrapper as Django's own close() does.

    Packages override close() to forget what they know of the session (django-tenants: its search_path), and the new
    session must be told again.
    """
    if wrapper.connection is None:
        return
    _left_alone.append(wrapper.connection)
    wrapper.connection = None
    wrapper.inc_thread_sharing()
    try:
        # A package's close() may want to talk to the server first; there is nobody to talk to.
        with contextlib.suppress(Exception):
            wrapper.close()
    finally:
        wrapper.dec_thread_sharing()
    if wrapper.in_atomic_block:
        # A transaction does not go on in another session.
        wrapper.closed_in_transaction = True
        wrapper.needs_rollback = True


_users = Kept(Users, in_child=_in_child)


def watch(wrapper: Any, *, pooled: bool) -> None:
    """Note that a wrapper has a connection of this process, so that a forked child leaves it alone."""
    users = _users.get()
    # Asked at each connect.
    if wrapper.known_to is not users:
        users.wrappers.add(wrapper)
        wrapper.known_to = users
    if pooled:
        users.pooled_aliases.add(wrapper.alias)
