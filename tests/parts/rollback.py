"""Putting a Redis back to what it was, as a restored file does."""

from __future__ import annotations

import redis


class Snapshot:
    """All keys of a moment."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._keys = {key: self._client.dump(key) for key in self._client.scan_iter("knify:*")}

    def put_back(self) -> None:
        """Forget all that was written since."""
        pipe = self._client.pipeline(transaction=True)
        pipe.flushdb()
        for key, value in self._keys.items():
            pipe.restore(key, 0, value)
        pipe.execute()
