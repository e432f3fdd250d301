"""Memory for requests that are under way: so much together, of which each gets a fair share.

A tenant gets at most half of what the others leave, and a sandbox half of what its tenant's others
leave of that: however many take all they can get, there is room for those who come later. What
comes slowly gives its room back to one that has less.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

#: Bytes of all requests, and the most of one sandbox's.
ALL: Final = 256 * 1024**2
SHARE: Final = 64 * 1024**2
SLOW_SECONDS: Final = 2.0  # from the first byte to the last: they come from this very machine


@dataclass(slots=True, eq=False)
class Part:
    """What one request has of it."""

    tenant: str
    sandbox: str
    size: int = 0
    since: float = field(default_factory=time.monotonic)
    coming: asyncio.Timeout | None = None  # while more of it may come
    is_lost: bool = False


class Room:
    """Who has how much of it, in one event loop."""

    def __init__(self) -> None:
        self._parts: set[Part] = set()
        self._counts: Counter[tuple[str, ...]] = Counter()  # by tenant, and by tenant and sandbox
        self._taken = 0

    def take(self, part: Part, size: int) -> bool:
        """More for that one; False when there is none for it, or it had to give way."""
        while not part.is_lost and not self._fits(part, size):
            slow = self._slow(part, size)
            if slow is None:
                return False
            self._end(slow)
        if not part.is_lost:
            self._parts.add(part)
            self._count(part, size)
        return not part.is_lost

    def give_back(self, part: Part) -> None:
        """All that it took."""
        self._count(part, -part.size)
        self._parts.discard(part)

    def _end(self, part: Part) -> None:
        part.is_lost = True
        self.give_back(part)
        if part.coming is not None:
            with contextlib.suppress(RuntimeError):  # its time is over in this very moment
                part.coming.reschedule(0)

    def _count(self, part: Part, size: int) -> None:
        part.size += size
        self._taken += size
        for key in ((part.tenant,), (part.tenant, part.sandbox)):
            self._counts[key] += size
            if self._counts[key] <= 0:
                del self._counts[key]

    def _has(self, part: Part) -> tuple[int, int]:
        """Bytes of its tenant, and of its sandbox."""
        return self._counts[(part.tenant,)], self._counts[(part.tenant, part.sandbox)]

    def _fits(self, part: Part, size: int) -> bool:
        ours, mine = self._has(part)
        of_tenant = (ALL - (self._taken - ours)) // 2
        of_sandbox = min(SHARE, (of_tenant - (ours - mine)) // 2)
        return ours + size <= of_tenant and mine + size <= of_sandbox

    def _slow(self, part: Part, size: int) -> Part | None:
        """The largest of those that come slowly and have more than that one would."""
        ours, mine = self._has(part)
        late = time.monotonic() - SLOW_SECONDS

        def has_more(other: Part) -> bool:
            theirs, its = self._has(other)
            return theirs > ours + size if other.tenant != part.tenant else its > mine + size

        found = (x for x in self._parts if x.coming and x.since < late and has_more(x))
        return max(found, key=self._weight, default=None)

    def _weight(self, part: Part) -> tuple[int, ...]:
        return *self._has(part), part.size
