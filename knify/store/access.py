"""API keys and stream tokens in Redis: their records, never their text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from knify import apikeys
from knify.store import codec, keys
from knify.store.redis import Client, Scripts, changes, pairs

MOST_KEYS: Final = 1_000  # of one tenant; so a list or a search of them all stays small
KEPT_MS: Final = 30 * 86_400_000  # how long a revoked or expired key's record stays
LASTING_MS: Final = 7 * 86_400_000  # an admin key that expires sooner is not to be relied on


class Access:
    """Who may use this installation."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def add_key(self, key: apikeys.ApiKey) -> apikeys.ApiKey:
        """Keep a new key's record; the answer has its time. TooManyKeys. Safe to repeat."""
        fields = changes(codec.record_fields(key))
        return codec.api_key(
            pairs(self._scripts.call("add_key", key.id, fields, MOST_KEYS, KEPT_MS))
        )

    def find_key(self, key_id: str) -> apikeys.ApiKey | None:
        """The record, or None."""
        fields = self._client.hgetall(keys.api_key(key_id))
        return codec.api_key(fields) if fields else None

    def find_session(self, name: str, key_id: str) -> apikeys.ApiKey | None:
        """The record of the key of a browser's session; None also when that was ended."""
        pipe = self._client.pipeline(transaction=False)
        pipe.exists(keys.ended_session(name))
        pipe.hgetall(keys.api_key(key_id))
        has_ended, fields = pipe.execute()
        return codec.api_key(fields) if fields and not has_ended else None

    def end_session(self, name: str, *, seconds: int) -> None:
        """From now on it opens nothing. `seconds`: how long its last cookie would have."""
        self._client.set(keys.ended_session(name), "1", ex=seconds)

    def is_lost(self) -> bool:
        """Whether nothing is left of what the first start made: neither its mark nor a key."""
        return not self._client.exists(keys.INSTALLATION, keys.api_keys("default"))

    def page_keys(
        self, tenant: str, *, offset: int = 0, limit: int = 100
    ) -> tuple[list[apikeys.ApiKey], int]:
        """A tenant's keys, newest first, and how many there are."""
        index = keys.api_keys(tenant)
        by = f"{keys.api_key('*')}->created_at"
        ids = self._client.sort(index, by=by, desc=True, start=offset, num=limit)
        pipe = self._client.pipeline(transaction=False)
        for key_id in ids:
            pipe.hgetall(keys.api_key(key_id))
        found = dict(zip(ids, pipe.execute() if ids else [], strict=True))
        gone = [key_id for key_id, fields in found.items() if not fields]
        if gone:
            self._client.srem(index, *gone)
        shown = [codec.api_key(fields) for fields in found.values() if fields]
        return shown, int(self._client.scard(index))

    def rotate_key(self, key: apikeys.ApiKey, digest: str, *, grace_ms: int) -> apikeys.ApiKey:
        """Another secret instead of the one that `key` has. NotFound, KeyGone, KeyChanged."""
        flat = self._scripts.call("rotate_key", key.id, key.digest, digest, grace_ms)
        return codec.api_key(pairs(flat))

    def revoke_key(self, tenant: str, key_id: str, *, force: bool = False) -> None:
        """From now on the key opens nothing. NotFound, LastAdminKey."""
        how = "1" if force else ""
        self._scripts.call("revoke_key", key_id, tenant, how, LASTING_MS, KEPT_MS)

    def used_keys(self, key_ids: Iterable[str]) -> None:
        """Note that these were used just now; what is gone stays gone."""
        self._scripts.call("used_keys", *key_ids)

    def add_token(self, name: str, facts: Mapping[str, str], *, seconds: int) -> None:
        """Keep what a stream token is good for. `name`: a hash of its text."""
        self._client.set(keys.stream_token(name), json.dumps(facts), ex=seconds)

    def find_token(self, name: str) -> dict[str, str] | None:
        """The same, or None."""
        found = self._client.get(keys.stream_token(name))
        return dict(json.loads(found)) if found else None

    def take_token(self, name: str) -> bool:
        """Whether this call is the one that uses it up."""
        return bool(self._client.delete(keys.stream_token(name)))
