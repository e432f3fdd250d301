"""Putting a Redis back to what it was, as a restored file does."""

from __future__ import annotations

import redis

_DUMP = """
local all = {}
for _, key in ipairs(redis.call('KEYS', 'knify:*')) do
  all[#all + 1] = key
  all[#all + 1] = redis.call('DUMP', key)
end
return all
"""


class Snapshot:
    """All keys of a moment."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        flat = self._client.eval(_DUMP, 0)  # in one moment: jobs may run meanwhile
        self._keys = dict(zip(flat[::2], flat[1::2], strict=True))

    def put_back(self) -> None:
        """Forget all that was written since."""
        pipe = self._client.pipeline(transaction=True)
        pipe.flushdb()
        for key, value in self._keys.items():
            pipe.restore(key, 0, value)
        pipe.execute()
