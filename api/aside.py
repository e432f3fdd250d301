"""Long work of a request, out of the way of the process's other requests.

All requests and streams of a gevent server share one thread; reading a file, unpacking or
encrypting in it would make them stand still. So such work gets a thread of its own, in a pool of
its own for each purpose: where one waits for its like, the rest goes on. gevent's own pool is left
to gevent, which asks for names in it.

Sockets and locks belong to the thread that made them. So what runs here opens, reads and closes
within one call, and leaves Redis and hints alone, which refuse it (also where it just runs, as in
most tests, because the server is not gevent's).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol, TypeVar, cast

from gevent import monkey
from gevent.threadpool import ThreadPool

from knify.store import redis as store_redis

T = TypeVar("T")

_SHORT: Final = 8  # pieces of uploads that are written, objects that are deleted or looked at
_READING: Final = 16  # readings of the object store at once
_READING_EACH: Final = 8  # of them by one tenant: a store that hangs holds each for a while
_HEAVY: Final = 4  # archives that are unpacked, checked and sealed at once
_HEAVY_EACH: Final = 2  # of them of one tenant: many tiny files take minutes
_PACKING: Final = 2  # pieces that are compressed at once
_PARSING: Final = 3  # texts that are parsed at once; of a process one thread at a time gets on,
_PARSING_EACH: Final = 1  # so these are for tenants: of each one
_TURN_BYTES: Final = 256 * 1024
_TURN_SECONDS: Final = 0.1
_pools: dict[str, ThreadPool] = {}
_shares: weakref.WeakValueDictionary[tuple[str, str], threading.BoundedSemaphore] = (
    weakref.WeakValueDictionary()
)


class Reading(Protocol):
    """Runs what reads the object store, or is heavy, for one tenant."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """What `work` returns or raises."""


def run(work: Callable[[], T]) -> T:
    """What `work`, which is short, returns or raises."""
    return _in("short", _SHORT, work)


def reader(tenant: str) -> Reading:
    """The same for reading objects; no tenant takes all the threads."""

    def read(work: Callable[[], T], /) -> T:
        with _share("reading", tenant, _READING_EACH):
            return _in("reading", _READING, work)

    return read


def heavy(tenant: str) -> Reading:
    """The same for what may take minutes."""

    def toil(work: Callable[[], T], /) -> T:
        with _share("heavy", tenant, _HEAVY_EACH):
            return _in("heavy", _HEAVY, work)

    return toil


def packing(work: Callable[[], T]) -> T:
    """The same for a piece that is compressed."""
    return _in("packing", _PACKING, work)


def parser(tenant: str) -> Reading:
    """The same for what is parsed: none of its tenant's holds up another's."""

    def parse(work: Callable[[], T], /) -> T:
        with _share("parsing", tenant, _PARSING_EACH):
            return _in("parsing", _PARSING, work)

    return parse


def pieces(found: Iterable[bytes], read: Reading) -> Iterator[bytes]:
    """The same bytes, made in short turns beside the loop, and only as fast as they are taken.

    What is read for one client stops no other, and waits in no memory. Turns may be in different
    threads: `found` holds nothing open between two of its pieces.
    """
    parts = iter(found)
    try:
        while True:
            piece, over = read(lambda: _turn(parts))
            if piece:
                yield piece
            if over:
                return
    finally:
        close = getattr(found, "close", None)
        if close is not None:
            close()


def pool(name: str, most: int) -> ThreadPool:
    """Threads of this process for one purpose, at most so many, made when they are first used."""
    if name not in _pools:
        _pools[name] = ThreadPool(most)
    return _pools[name]


def is_gevent() -> bool:
    """Whether this process serves with gevent."""
    return bool(monkey.is_module_patched("threading"))


def _share(name: str, tenant: str, most: int) -> threading.BoundedSemaphore:
    """Counts what one tenant does now, for as long as it does. Only the loop's thread asks."""
    found = _shares.get((name, tenant))
    if found is None:
        found = _shares[name, tenant] = threading.BoundedSemaphore(most)
    return found


def _turn(found: Iterator[bytes]) -> tuple[bytes, bool]:
    """Some bytes, perhaps none yet; and whether nothing is left."""
    parts, size, end = [], 0, time.monotonic() + _TURN_SECONDS
    for part in found:
        parts.append(part)
        size += len(part)
        if size >= _TURN_BYTES or time.monotonic() > end:
            return b"".join(parts), False
    return b"".join(parts), True


def _in(name: str, most: int, work: Callable[[], T]) -> T:
    if not is_gevent():
        with store_redis.out_of_reach():
            return work()
    found, failed = pool(name, most).apply(_attempt, (work,))
    if failed is not None:
        raise failed
    return cast(T, found)


def _attempt(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The pool prints the trace of whatever is raised in it, also of a user's mistake."""
    try:
        with store_redis.out_of_reach():
            return work(), None
    except Exception as failed:
        return None, failed
