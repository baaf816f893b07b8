"""The memory of the process: every value that outlives a call, owned by the process that made it.

A forked child must not go on with its parent's locks, threads and sockets. Python tells of forks that it made itself
(``os.register_at_fork``), but some hosts fork without its hooks (uWSGI without ``lazy-apps``), so the process id is
compared at every use as well.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

owner = os.getpid()
# The process that is giving up its parent's values at this moment.
_leaving = 0
# One for each process: a lock that another thread held while this process was forked stays locked for ever.
_locks: dict[int, threading.RLock] = {}
_all: list[Kept[Any]] = []
_owned: weakref.WeakSet[Owned] = weakref.WeakSet()


class Kept(Generic[T]):
    """One value of the process's memory.

    make: returns an empty one.
    in_child: returns what a forked child has instead of its parent's value; by default an empty one.
    drop: ends what the value has under way before it is forgotten.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        in_child: Callable[[T], T] | None = None,
        drop: Callable[[T], object] | None = None,
    ) -> None:
        self._make = make
        self._in_child = in_child
        self._drop = drop
        self._value = make()
        _all.append(self)

    def get(self) -> T:
        # Asked several times for each connect, so the call is spared.
        if owner != os.getpid():
            leave_parent()
        return self._value

    def _inherit(self) -> None:
        self._value = self._in_child(self._value) if self._in_child else self._make()

    def _forget(self) -> None:
        if self._drop:
            self._drop(self._value)
        self._value = self._make()


class Owned(Protocol):
    """Something with threads or locks, which a forked child does not have."""

    def start_over(self) -> None: ...


def own(each: Owned) -> None:
    """Let a forked child call start_over() before it uses this object."""
    _owned.add(each)


def leave_parent() -> None:
    """In a forked child, give up what is the parent's; elsewhere do nothing.

    Other threads of the child wait until that is done.
    """
    process = os.getpid()
    if owner == process:
        return
    with _locks.setdefault(process, threading.RLock()):
        # What is given up may call this again, in the same thread.
        if process not in (owner, _leaving):
            _leave_parent(process)


def _leave_parent(process: int) -> None:
    global owner, _leaving
    _leaving = process
    try:
        for owned in list(_owned):
            owned.start_over()
        for each in _all:
            each._inherit()
    finally:
        owner, _leaving = process, 0


def forget() -> None:
    """Forget everything, as in a new process."""
    for each in _all:
        each._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leave_parent)
