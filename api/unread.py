"""Clients that do not read what they are sent. Linux counts for each connection what was taken."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import time
from collections.abc import Iterable
from typing import Any, Final

#: Without a byte taken while some wait. A reader that is merely slow takes some within it.
SECONDS: float = 30.0
SOON: float = 2.0  # from then on it may have to go when there are many of them

_ACKED: Final = 120  # where in Linux's `struct tcp_info` the count of acknowledged bytes stands


class Reader:
    """One connection's other end."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._taken, self._since = -1, time.monotonic()

    def idle(self) -> float:
        """For how many seconds, at least, bytes have waited and none was taken; 0 when none wait.

        Known only from one call to the next.
        """
        now = time.monotonic()
        taken, waiting = _counts(self._connection)
        if not waiting or taken != self._taken:
            self._taken, self._since = taken, now
        return now - self._since

    def drop(self) -> None:
        """Break the connection; what waits for it in the kernel is thrown away."""
        try:
            linger = struct.pack("ii", 1, 0)
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._connection.shutdown(socket.SHUT_RDWR)  # wakes whoever sends
        except OSError:
            return  # gone already


def lost(readers: Iterable[Reader], most: int) -> list[Reader]:
    """Those to be dropped: who took nothing for SECONDS, and the worst of too many."""
    idle = [(reader.idle(), n, reader) for n, reader in enumerate(readers)]
    found = sorted((row for row in idle if row[0] >= SOON), reverse=True)
    too_many = max(0, len(found) - most)
    return [one for n, (idle_, _, one) in enumerate(found) if idle_ >= SECONDS or n < too_many]


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
