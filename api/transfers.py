"""Uploads and downloads of whole workspaces: how many at once, how slow, and how much disk.

Limits are of this process, which all of an installation's transfers pass; with several API
processes each has its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import gevent
from gevent import monkey

from knify import errors

T = TypeVar("T")

#: Seconds that a piece may take beside what it takes at the least rate.
GRACE: Final = 20.0


class Transfers:
    """Who has which of the slots."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._running: Counter[str] = Counter()  # by tenant
        self._claims: dict[object, int] = {}  # bytes of disk still to be written
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def slot(self, tenant: str) -> Iterator[None]:
        """One transfer's place; TransfersBusy when all are taken, by this tenant or together."""
        self.take(tenant)
        try:
            yield
        finally:
            self.give_back(tenant)

    def take(self, tenant: str) -> None:
        """The same without a block."""
        with self._lock:
            mine, all_ = self._running[tenant], self._running.total()
            if mine >= self._most_each or all_ >= self._most:
                whose = f"{mine} of yours" if mine >= self._most_each else f"{all_} of all users"
                raise errors.TransfersBusy(
                    f"{whose} are under way already: try again when one has ended"
                )
            self._running[tenant] += 1

    def give_back(self, tenant: str) -> None:
        """The transfer has ended."""
        with self._lock:
            self._running[tenant] -= 1
            if self._running[tenant] <= 0:
                del self._running[tenant]

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
