"""A time limit for a source as a whole, whatever it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from knify.agents.exam import source

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` gives, or raises. SourceError when that takes longer.

    Then it is left alone: its thread ends with the program. A service that sends a byte a second
    holds up no limit of a socket's, and nobody can tell where in a library it waits.
    """
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(work())
        except BaseException as failed:
            raised.append(failed)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not given:
        raise source.SourceError(f"took longer than {seconds:g} s")
    return given[0]
