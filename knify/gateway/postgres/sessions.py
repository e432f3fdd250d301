"""Sessions that a database may have at one time, of which each tenant gets a fair share."""

from __future__ import annotations

import asyncio
from collections import Counter

from knify.gateway.postgres.declared import Database


class Sessions:
    """One database's; lives in the event loop."""

    def __init__(self, database: Database) -> None:
        self._most = database.connections
        self._is_one_tenants = database.tenants is not None and len(database.tenants) == 1
        self._taken: Counter[str] = Counter()
        self._changed = asyncio.Event()

    async def take(self, tenant: str) -> None:
        """One, as soon as there is one for this tenant."""
        while not self._has(tenant):
            await self._changed.wait()
        self._taken[tenant] += 1

    def give_back(self, tenant: str) -> None:
        """One that was taken."""
        self._taken[tenant] -= 1
        self._taken += Counter()  # forgets who has none
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _has(self, tenant: str) -> bool:
        """Nobody gets more than half of what the others leave, where there may be others."""
        mine, taken = self._taken[tenant], self._taken.total()
        left = self._most - (taken - mine)
        return taken < self._most and (self._is_one_tenants or mine < (left + 1) // 2)
