"""Secrets of tenants in Redis: sealed before they come here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from knify import errors
from knify.store import secretkeys
from knify.store.redis import Client, Scripts

MOST: Final = 1_000  # of one tenant; so a list of them all stays small


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of one without opening it."""

    name: str
    created_at: int  # ms by Redis's clock
    updated_at: int  # when it got the value that it has


class Secrets:
    """All tenants' secrets."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def put(self, tenant: str, name: str, sealed: str) -> Kept:
        """Keep a value, instead of the one before. SecretLimit."""
        created, updated = self._scripts.call("put_secret", tenant, name, sealed, MOST)
        return Kept(name, int(created), int(updated))

    def drop(self, tenant: str, name: str) -> None:
        """It is gone. NotFound."""
        self._scripts.call("drop_secret", tenant, name)

    def of_tenant(self, tenant: str) -> list[Kept]:
        """All of them by name, without their values."""
        found = self._client.hgetall(secretkeys.secrets(tenant))
        return [_kept(name, text) for name, text in sorted(found.items())]

    def get(self, tenant: str, name: str) -> Kept:
        """One of them, without its value. NotFound."""
        text = self._client.hget(secretkeys.secrets(tenant), name)
        if text is None:
            raise errors.NotFound(f"no secret {name}")
        return _kept(name, text)

    def missing(self, tenant: str, names: list[str]) -> list[str]:
        """Those of the names that there is no secret of."""
        found = self._client.hmget(secretkeys.secrets(tenant), names) if names else []
        return [name for name, text in zip(names, found, strict=True) if text is None]

    def sealed(self, tenant: str, name: str) -> str | None:
        """Its value as it was given to `put`, or None."""
        found = self._client.hget(secretkeys.sealed(tenant), name)
        return None if found is None else str(found)


def _kept(name: str, text: str) -> Kept:
    created, updated = json.loads(text)
    return Kept(name, int(created), int(updated))
