"""A way to a client past gunicorn's response, for what many clients are sent at one time.

gunicorn has sent the head of a chunked answer and waits for the application's next piece: until
then chunks may be written to the connection by others. One call of the kernel sends one chunk.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Callable
from typing import Any, Protocol


class Way(Protocol):
    """How a client that waits is written to by others than its own thread."""

    closed: bool  # the client has gone, or is to go
    wake: Callable[[], None] | None  # of its own thread; set by whoever follows for it

    def send(self, text: str) -> bool:
        """At once, without waiting; False when `finish` has to be called."""

    def finish(self) -> None:
        """Send what is left, however long that takes; OSError when the client is gone."""


class Line:
    """One connection, while its response's iterator waits; see `Way`."""

    def __init__(self, connection: Any) -> None:
        self.closed = False
        self.wake: Callable[[], None] | None = None
        self._connection = connection
        self._left = b""  # of a chunk that was begun, or that found no room

    def send(self, text: str) -> bool:
        """See `Way`."""
        if not text:
            return True
        chunk = _chunk(text)
        try:
            taken = os.write(self._connection.fileno(), chunk)
        except OSError:  # full; or gone, which `finish` will meet
            taken = 0
        self._left = chunk[taken:]
        return not self._left

    def finish(self) -> None:
        """See `Way`."""
        left, self._left = self._left, b""
        if left:
            self._connection.sendall(left)


def of(environ: dict[str, Any]) -> Line | None:
    """The line to a request's client, where its answer is chunked and goes out as it is."""
    connection = environ.get("gunicorn.socket")
    if connection is None or isinstance(connection, ssl.SSLSocket):
        return None
    if environ.get("SERVER_PROTOCOL") != "HTTP/1.1" or environ.get("REQUEST_METHOD") != "GET":
        return None
    return Line(connection)


@functools.lru_cache(maxsize=16)
def _chunk(text: str) -> bytes:
    """As HTTP/1.1 frames it; the same text goes to many clients."""
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)
