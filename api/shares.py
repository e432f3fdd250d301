"""Who may hold how much of what all tenants share: so many places together, so many for each.

Limits are of this process; with several API processes each has its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from knify import errors

#: Connections that one process serves at a time; streams leave a quarter of them to the rest.
CONNECTIONS: Final = 4_000
STREAMS: Final = CONNECTIONS * 3 // 4
TENANT_STREAMS: Final = CONNECTIONS // 2


class Shares:
    """Places, by tenant."""

    def __init__(self, most: int, most_each: int, busy: Callable[[str], errors.KnifyError]) -> None:
        """`busy` makes the refusal of its message."""
        self._most = most
        self._most_each = most_each
        self._busy = busy
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def slot(self, tenant: str) -> Iterator[None]:
        """One place; the refusal when all are taken, by this tenant or together."""
        self.take(tenant)
        try:
            yield
        finally:
            self.give_back(tenant)

    def taken(self) -> int:
        """How many places are taken together."""
        return self._taken.total()

    def take(self, tenant: str) -> None:
        """The same without a block."""
        with self._lock:
            mine, all_ = self._taken[tenant], self._taken.total()
            if mine >= self._most_each or all_ >= self._most:
                whose = f"{mine} of yours" if mine >= self._most_each else f"{all_} of all users"
                raise self._busy(f"{whose} are under way already: try again when one has ended")
            self._taken[tenant] += 1

    def give_back(self, tenant: str) -> None:
        """It has ended."""
        with self._lock:
            self._taken[tenant] -= 1
            if self._taken[tenant] <= 0:
                del self._taken[tenant]
