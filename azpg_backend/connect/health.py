"""Does a connection still work? Asked at the start of each request, without a round trip if the socket can tell."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
from typing import Any

# Seconds without a query after which the server is asked. A flow can vanish without a word at any time, and asking
# costs a round trip: a connection in constant use is not asked, one that rested is.
ASK_AFTER_IDLE = 1.0
# Seconds for an answer after a login. A pooler refuses at once; one that is busy, or waits for its server, is silent.
ANSWER_WITHIN = 2.0
# libpq's PQTRANS_IDLE, in both drivers.
_IDLE = 0

# As plain numbers: the enumerations of socket cost a connect more than the call that they are for.
_FAMILY, _KIND, _LEVEL = int(socket.AF_INET), int(socket.SOCK_STREAM), int(socket.IPPROTO_TCP)
# Linux 6.15 and newer: the longest pause between two retransmissions (linux/tcp.h). Without it the pauses double, and
# the one after second 13 ends beyond tcp_user_timeout.
_TCP_RTO_MAX_MS = 44
_LONGEST_PAUSE_MS = 2000


def is_quiet(connection: Any, idle: float) -> bool:
    """Whether a connection is surely as good as it was a moment ago.

    False means that the server has to be asked: within a transaction (which may have failed, and then nothing works in
    it), after a rest, or if something has arrived that nobody asked for: the end of the connection, or a last message.
    idle: seconds since the last query.
    """
    return (
        idle <= ASK_AFTER_IDLE and connection.info.transaction_status == _IDLE and not _has_arrived(connection.fileno())
    )


def answers(connection: Any, seconds: float) -> bool:
    """Whether a server that has just let a client in answers a query; without an answer the connection is ended.

    seconds: after which to give up.
    Raises the driver's error if the server refuses or hangs up.
    """
    late = threading.Event()
    with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as end:
        # What libpq then meets is the end of the connection.
        giving_up = threading.Timer(seconds, _cut, [end, late])
        giving_up.daemon = True
        giving_up.start()
        try:
            ask(connection, "SELECT 1")
        except Exception:
            if not late.is_set():
                raise
        finally:
            giving_up.cancel()
    # Also if the answer came in that very moment: the connection has been cut.
    return not late.is_set()


def _cut(end: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def ask(connection: Any, question: str) -> Any:
    """Return the one value that a statement returns, outside of any transaction. Raises the driver's error."""
    autocommit = connection.autocommit
    if not autocommit:
        connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(question)
        (answer,) = cursor.fetchone()
    if not autocommit:
        connection.autocommit = False
    return answer


def _has_arrived(descriptor: int) -> bool:
    """Whether a socket has bytes to read, its end, or an error. Does not wait."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    # Windows: select() takes any descriptor number there.
    return any(select.select([descriptor], [], [descriptor], 0))


def retransmit_evenly(connection: Any) -> None:
    """Let TCP try again every two seconds, so that a path which was silent for a while is found as soon as it is back.

    Does nothing if the system can't.
    """
    if sys.platform != "linux":
        return
    try:
        # The same descriptor for a moment, not a copy of it. libpq's never blocks, and so stays as it is.
        end = socket.SocketType(_FAMILY, _KIND, 0, connection.fileno())
        try:
            end.setsockopt(_LEVEL, _TCP_RTO_MAX_MS, _LONGEST_PAUSE_MS)
        finally:
            end.detach()
    except Exception:  # noqa: BLE001, S110 (a driver's own, of a connection that has ended; the first query will tell)
        pass
