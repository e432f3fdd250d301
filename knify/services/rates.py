"""How many requests a key has left in its hour: numbers only, headers are written elsewhere."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerHour
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from knify import apikeys
from knify.store import keys
from knify.store.redis import Client


@dataclass(frozen=True, slots=True)
class Rate:
    """What one more request of a limited key finds."""

    allowed: bool
    limit: int  # requests in any hour
    remaining: int  # after this one
    reset_at: int  # seconds since the epoch: when the oldest request of the hour stops to count

    def retry_after(self) -> int:
        """Seconds until one more is allowed, at least 1."""
        return max(1, math.ceil(self.reset_at - time.time()))


class Limiter:
    """Counts in Redis, for all API processes together; two round trips for a limited key."""

    def __init__(self, client: Client) -> None:
        """On the same connections as everything else, with the same time limits."""
        storage = RedisStorage(
            "redis://", connection_pool=client.connection_pool, key_prefix=keys.RATE
        )
        self._hours = MovingWindowRateLimiter(storage)

    def hit(self, key: apikeys.ApiKey) -> Rate | None:
        """Count one request; None, without asking anybody, for a key without limit.

        A key under several limits is told of the one that leaves least, or that refuses. Its own,
        lowest one is asked first: what is refused there takes nothing of its maker's.
        """
        found = []
        for whose, limit in reversed(key.windows):
            rate = self._hit(whose, limit)
            if not rate.allowed:
                return rate
            found.append(rate)
        return min(found, key=lambda rate: rate.remaining, default=None)

    def _hit(self, whose: str, limit: int) -> Rate:
        hour = RateLimitItemPerHour(limit, namespace="key")
        allowed = self._hours.hit(hour, whose)
        reset_at, remaining = self._hours.get_window_stats(hour, whose)
        left = max(0, remaining) if allowed else 0
        return Rate(allowed, limit, left, math.ceil(reset_at))
