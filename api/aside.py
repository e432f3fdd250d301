"""Long work of a request, out of the way of the process's other requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar, cast

from gevent import get_hub, monkey
from gevent.threadpool import ThreadPool

T = TypeVar("T")

_HEAVY: Final = 4  # archives that are unpacked, checked and sealed at once
_PACKING: Final = 2  # downloads of which a turn is made at once
_TURN_BYTES: Final = 256 * 1024
_TURN_SECONDS: Final = 0.1
_pools: dict[str, ThreadPool] = {}


def run(work: Callable[[], T]) -> T:
    """What `work` returns or raises.

    All requests and streams of a gevent server share one thread; unpacking or encrypting in it
    would make them stand still. There, `work` gets a thread of its own. Elsewhere it just runs.
    """
    return _in(get_hub().threadpool, work) if _is_gevent() else work()


def heavy(work: Callable[[], T]) -> T:
    """The same for what may take minutes: it waits for its like, the rest does not wait."""
    return _in(pool("heavy", _HEAVY), work) if _is_gevent() else work()


def pieces(found: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, made in short turns beside the loop, and only as fast as they are taken.

    What is packed or read for one client stops no other, and waits in no memory.
    """
    parts = iter(found)
    try:
        while True:
            piece, over = _packing(lambda: _turn(parts))
            if piece:
                yield piece
            if over:
                return
    finally:
        close = getattr(found, "close", None)
        if close is not None:
            _packing(close)


def _packing(work: Callable[[], T]) -> T:
    return _in(pool("packing", _PACKING), work) if _is_gevent() else work()


def _turn(found: Iterator[bytes]) -> tuple[bytes, bool]:
    """Some bytes, perhaps none yet; and whether nothing is left."""
    parts, size, end = [], 0, time.monotonic() + _TURN_SECONDS
    for part in found:
        parts.append(part)
        size += len(part)
        if size >= _TURN_BYTES or time.monotonic() > end:
            return b"".join(parts), False
    return b"".join(parts), True


def pool(name: str, most: int) -> ThreadPool:
    """Threads of this process for one purpose, at most so many, made when they are first used."""
    return _pools.setdefault(name, ThreadPool(most))


def _is_gevent() -> bool:
    return bool(monkey.is_module_patched("threading"))


def _in(threads: ThreadPool, work: Callable[[], T]) -> T:
    found, failed = threads.apply(_attempt, (work,))
    if failed is not None:
        raise failed
    return cast(T, found)


def _attempt(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The pool prints the trace of whatever is raised in it, also of a user's mistake."""
    try:
        return work(), None
    except Exception as failed:
        return None, failed
