"""Counts how long Podman takes, for `/metrics`."""

from __future__ import annotations

import time
from typing import Any, TypeVar

from knify import counters

T = TypeVar("T")


def around(driver: T) -> T:
    """The driver, whose calls of `counters.OPERATIONS` are counted."""
    wrapped: Any = _Timed(driver)
    return wrapped  # type: ignore[no-any-return]


class _Timed:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in counters.OPERATIONS:
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.monotonic()
            try:
                answer = await found(*args, **kwargs)
            except Exception:
                counters.add("knify_sandbox_operation_failures", label=name)
                raise
            counters.add("knify_sandbox_operations", label=name)
            seconds = time.monotonic() - begun
            counters.add("knify_sandbox_operation_time_seconds", seconds, name)
            return answer

        return call
