"""Uploads and downloads of whole workspaces: how many at once, how slow, and how much disk.

Limits are of this process, which all of an installation's transfers pass; with several API
processes each has its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import gevent
from gevent import monkey

from api import shares
from knify import errors

T = TypeVar("T")

#: Seconds that a piece may take beside what it takes at the least rate.
GRACE: Final = 20.0


class Transfers(shares.Shares):
    """Who has which of the slots; TransfersBusy when there is none."""

    def __init__(self, most: int, most_each: int) -> None:
        super().__init__(most, most_each, errors.TransfersBusy)
        self._claims: dict[object, int] = {}  # bytes of disk still to be written

    @contextlib.contextmanager
    def claim(self, size: int, check: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
        """Count `size` bytes as taken until they are written, which the callable is told.

        `check` is asked for room for all claims together, and may raise StorageFull.
        """
        claim = object()
        with self._lock:
            check(size + sum(self._claims.values()))
            self._claims[claim] = size

        def written(more: int) -> None:
            self._claims[claim] = max(0, self._claims[claim] - more)

        try:
            yield written
        finally:
            del self._claims[claim]


def in_time(read: Callable[[], T], size: int, rate: int) -> T:
    """What `read` returns; TooSlow when `size` bytes do not come at `rate` bytes a second.

    A client that trickles would else hold its slot for ever. Without gevent, as in most tests,
    nothing is measured.
    """
    if not monkey.is_module_patched("socket"):
        return read()
    seconds = GRACE + size / rate
    late = errors.TooSlow(
        f"{size} bytes took more than {seconds:.0f} s: upload over a faster connection"
    )
    with gevent.Timeout(seconds, late):  # raises it in the midst of the reading
        return read()
