"""gunicorn's gevent worker, with an end to waiting for what clients send.

A connection that says nothing, or one byte a second, costs its client nothing. So a request's head
has a deadline, connections that wait for one are only a part of all that there may be, and the
oldest of them goes when another one comes: whoever really asks sends his head at once. Likewise who
asks and does not read: he goes after a while, and sooner when there are many of his kind.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import gevent
from gunicorn.workers.ggevent import GeventWorker

from api import heads, unread

#: From the connection, or from the last answer, to the end of the next request's head. Longer than
#: common clients keep idle connections (httpx 5 s, aiohttp 15 s), so that they close them first.
HEAD_SECONDS: float = 20.0
#: One in so many of `worker_connections` may wait for a head, and one in so many may not read.
WAITING_PART: Final = 4


class Worker(GeventWorker):
    """One process's connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most = max(1, self.worker_connections // WAITING_PART)
        self._clients: dict[Any, socket.socket] = {}  # by greenlet
        self._readers: dict[Any, unread.Reader] = {}  # likewise
        self._waiting: dict[socket.socket, None] = {}  # for a head, the oldest first

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """See gunicorn: all of one connection."""
        greenlet = gevent.getcurrent()
        self._clients[greenlet] = client
        self._readers[greenlet] = unread.Reader(client)
        try:
            super().handle(listener, client, addr)
        finally:
            del self._clients[greenlet]
            del self._readers[greenlet]

    def notify(self) -> None:
        """See gunicorn, which calls it every second."""
        super().notify()
        for reader in unread.lost(self._readers.values(), self._most):
            reader.drop()

    @contextlib.contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the reading of each head; the connection is closed when it ends early."""
        client = self._clients[gevent.getcurrent()]
        self._waiting[client] = None
        self._make_room()
        try:
            with gevent.Timeout(HEAD_SECONDS, False):
                yield
        finally:
            self._waiting.pop(client, None)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """See gunicorn, whose own answers are pages for people."""
        answer = heads.answer(exc)
        if answer is None:
            super().handle_error(req, client, addr, exc)
            return
        self.log.info("no request: %s", type(exc).__name__)
        with contextlib.suppress(OSError):
            client.sendall(answer)

    def _make_room(self) -> None:
        while len(self._waiting) > self._most:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RD)  # its reader sees the end
