"""Bodies that come too slowly are given up, however large they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import gevent

from api import errors

STALL_SECONDS: float = 30.0  # without any byte
SLOWEST: Final = 1_024  # bytes a second over one piece: two GiB may take weeks, a stall may not
PIECE: Final = 64 * 1024

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def paced(application: Wsgi) -> Wsgi:
    """The application, whose requests' bodies have to keep coming. Under gevent only."""

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"] = Body(environ["wsgi.input"])
        return application(environ, start_response)

    return run


class Body:
    """A request's body; SlowBody from any reading that takes too long."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes, fewer only at the end; all of them for less than 0."""
        if size is not None and size >= 0:
            return self._timed(self._body.read, size)
        pieces = []
        while piece := self._timed(self._body.read, PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """One line, or `size` bytes of it."""
        most = PIECE if size is None or size < 0 else size
        return self._timed(self._body.readline, most)

    def readlines(self, hint: int = -1) -> list[bytes]:
        """All lines."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        """Line by line; a very long one in pieces."""
        return iter(self.readline, b"")

    def _timed(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            with gevent.Timeout(STALL_SECONDS + size / SLOWEST):
                return read(size)
        except gevent.Timeout as late:
            self._body.failed = True  # where the next request would begin is not known
            raise errors.SlowBody() from late
