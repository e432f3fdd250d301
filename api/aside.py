"""Long work of a request, out of the way of the process's other requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from gevent import get_hub, monkey

T = TypeVar("T")


def run(work: Callable[[], T]) -> T:
    """What `work` returns or raises.

    All requests and streams of a gevent server share one thread; unpacking or encrypting in it
    would make them stand still. There, `work` gets a thread of its own. Elsewhere it just runs.
    """
    if not monkey.is_module_patched("threading"):
        return work()
    found, failed = get_hub().threadpool.apply(_attempt, (work,))
    if failed is not None:
        raise failed
    return cast(T, found)


def _attempt(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The pool prints the trace of whatever is raised in it, also of a user's mistake."""
    try:
        return work(), None
    except Exception as failed:
        return None, failed
