"""Memory for requests that are under way: so much together, so much for each sandbox."""

from __future__ import annotations

from collections import Counter
from typing import Final

#: Bytes of all requests, and of one sandbox's.
ALL: Final = 256 * 1024**2
SHARE: Final = 64 * 1024**2


class Room:
    """Who has how much of it, in one event loop."""

    def __init__(self) -> None:
        self._free = ALL
        self._taken: Counter[int] = Counter()

    def take(self, caller: object, size: int) -> bool:
        """False when there is none left, together or for this one, which lives while it has any."""
        if size > self._free or self._taken[id(caller)] + size > SHARE:
            return False
        self._free -= size
        self._taken[id(caller)] += size
        return True

    def give_back(self, caller: object, size: int) -> None:
        """What it took."""
        self._free += size
        self._taken[id(caller)] -= size
        if self._taken[id(caller)] <= 0:
            del self._taken[id(caller)]
