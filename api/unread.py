"""Clients that do not read what they are sent. Linux counts for each connection what was taken."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Iterable
from typing import Any, Final

from gevent import monkey

#: Without LEAST bytes taken while some wait. A reader that is merely slow takes as many within it.
SECONDS: float = 30.0
LEAST: int = 32 * 1024
SOON: float = 2.0  # from then on it may have to go when there are many of them

_ESTABLISHED: Final = 1
_STATE: Final = 0  # where in Linux's `struct tcp_info` the connection's state stands
_ACKED: Final = 120  # where the count of acknowledged bytes


class Reader:
    """One connection's other end."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._taken, self._since = -1, time.monotonic()
        self._mark, self._marked = -LEAST, self._since  # when LEAST more had been taken

    def idle(self) -> float:
        """For how many seconds, at least, bytes have waited and none was taken; 0 when none wait.

        Known only from one call to the next.
        """
        now = time.monotonic()
        taken, waiting = _counts(self._connection)
        if not waiting or taken != self._taken:
            self._taken, self._since = taken, now
        if not waiting or taken - self._mark >= LEAST:
            self._mark, self._marked = taken, now
        return now - self._since

    def crawls(self) -> bool:
        """Whether it has taken less than LEAST in SECONDS; as of the last call of `idle`."""
        return time.monotonic() - self._marked >= SECONDS

    def is_gone(self) -> bool:
        """Whether the other end has closed, although it would not be noticed by sending yet."""
        if self._connection is None:
            return False
        try:
            info = self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _STATE + 1)
        except (OSError, ValueError):
            return True
        return bool(info[_STATE] != _ESTABLISHED)

    def drop(self) -> None:
        """Break the connection; what waits for it in the kernel is thrown away.

        Not through gevent, which would tell whoever sends that the socket was closed by us.
        """
        plain = monkey.get_original("socket", "socket")
        try:
            connection = plain(fileno=os.dup(self._connection.fileno()))
        except (OSError, ValueError):
            return  # gone already
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)  # wakes whoever sends


def lost(readers: Iterable[Reader], most: int) -> list[Reader]:
    """Those to be dropped: who took nearly nothing for SECONDS, and the worst of too many."""
    idle = [(reader.idle(), n, reader) for n, reader in enumerate(readers)]
    found = sorted((row for row in idle if row[0] >= SOON), reverse=True)
    worst = {reader for _, _, reader in found[: max(0, len(found) - most)]}
    return [reader for _, _, reader in idle if reader in worst or reader.crawls()]


def _counts(connection: Any) -> tuple[int, int]:
    """Bytes that the other end has acknowledged, and bytes that it has not."""
    if connection is None:
        return 0, 0  # not a server of our own, as in tests
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED + 8)
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (OSError, ValueError):
        return 0, 0  # closed meanwhile
    return int.from_bytes(info[_ACKED:], "little"), int.from_bytes(queued, "little")
