"""What processes counted (`knify/counters.py`), added up for all of them."""

from __future__ import annotations

import redis

from knify import counters
from knify.store import keys
from knify.store.redis import Client


class Counts:
    """One hash."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def keep(self) -> None:
        """Add what this process counted since the last time; without Redis, the next time.

        An answer that was lost on its way is counted twice.
        """
        taken = counters.take()
        if not taken:
            return
        pipe = self._client.pipeline(transaction=False)
        for field, amount in taken.items():
            pipe.hincrbyfloat(keys.COUNTS, field, amount)
        try:
            pipe.execute()
        except redis.RedisError:
            counters.give_back(taken)
            raise
