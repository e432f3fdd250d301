"""Commands that take minutes clean up behind them when they are told to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def unwinding() -> Iterator[None]:
    """Within the block, of the main thread, SIGTERM and SIGHUP raise SystemExit, as Ctrl-C would.

    What comes after the first one is ignored, so that it does not stop the cleaning up.
    """
    before = {number: signal.signal(number, _end) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    for each in _NUMBERS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)
