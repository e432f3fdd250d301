"""A bad network on loopback: a TCP proxy that can be slow, cut connections, or be away."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from enum import Enum

_BLOCK = 16 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST at once


class Mode(Enum):
    """What happens to connections, those that are open too."""

    FAIR = "as if it were not there"
    SLOW = "100 KB/s each way"
    CUT = "reset after 200 KB of upload"
    AWAY = "refused"


_PACE = {Mode.SLOW: _BLOCK / 100_000}  # seconds that a block takes
_CUT_AFTER = 200_000  # bytes


class Proxy:
    """Threads only; each connection has two."""

    def __init__(self, port: int) -> None:
        """Forwards to this port of loopback."""
        self.mode = Mode.FAIR
        self.cuts = 0  # connections that were reset on the way
        self._to = port
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: Mode) -> None:
        """From now on; who is away drops what is open."""
        self.mode = mode
        if mode is Mode.AWAY:
            for one in list(self._open):
                self._reset(one)

    def close(self) -> None:
        """Accept nothing more and drop what is open."""
        self._listener.close()
        self.set(Mode.AWAY)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.mode is Mode.AWAY:
                    self._reset(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open |= {client, server}
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        copied = 0
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK):
                time.sleep(_PACE.get(self.mode, 0))
                target.sendall(data)
                copied += len(data)
                if up and self.mode is Mode.CUT and copied > _CUT_AFTER:
                    self.cuts += 1
                    break
            else:
                target.shutdown(socket.SHUT_WR)
                return
        for one in (source, target):
            self._reset(one)

    def _reset(self, one: socket.socket) -> None:
        self._open.discard(one)
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextlib.contextmanager
def before(port: int) -> Iterator[Proxy]:
    """A proxy in front of this port."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
