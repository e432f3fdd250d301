"""What is not an execution: the installation, nodes, API keys and workspaces."""

from __future__ import annotations

import json
from typing import Any

from knify import errors, ids, model
from knify.store import codec, keys
from knify.store.redis import Client, Scripts, changes, pairs

_HEARTBEAT_SECONDS = 60
_NODE_DAYS = 1


class Registry:
    """Small records that every process may read."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    # The installation

    def installation(self, wanted: str | None) -> str:
        """This store's installation id, made once. ConfigError when it is not the `wanted` one.

        `wanted` is what the home folder says; a store of another installation is never used.
        """
        known = self._client.get(keys.INSTALLATION)
        if known is None:
            self._client.set(keys.INSTALLATION, wanted or ids.new("inst"), nx=True)
            self._client.set(keys.SCHEMA, model.SCHEMA, nx=True)
            known = self._client.get(keys.INSTALLATION)
        if wanted is not None and known != wanted:
            raise errors.ConfigError(
                f"KNIFY_REDIS_URL holds installation {known}, but KNIFY_HOME belongs to {wanted}"
            )
        schema = int(self._client.get(keys.SCHEMA) or model.SCHEMA)
        if schema > model.SCHEMA:
            raise errors.ConfigError(
                f"the store is of schema {schema}, this version knows {model.SCHEMA}: upgrade Knify"
            )
        return str(known)

    def known_installation(self) -> str | None:
        """This store's installation id; None in an empty one. Makes nothing."""
        found = self._client.get(keys.INSTALLATION)
        return None if found is None else str(found)

    def ping(self) -> None:
        """Raise unless Redis answers."""
        self._client.ping()

    # Nodes

    def heartbeat(self, node: str, facts: dict[str, Any], now_ms: int) -> None:
        """Say that a node lives, and what it offers (JSON-able, see `workers/node.py`)."""
        pipe = self._client.pipeline(transaction=True)
        pipe.set(f"{keys.node(node)}:beat", json.dumps(facts), ex=_HEARTBEAT_SECONDS)
        pipe.zadd(keys.NODES, {node: now_ms})
        pipe.zremrangebyscore(keys.NODES, "-inf", now_ms - _NODE_DAYS * 86_400_000)
        pipe.execute()

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The living nodes by name."""
        names = self._client.zrange(keys.NODES, 0, -1)
        beats = self._client.mget([f"{keys.node(name)}:beat" for name in names]) if names else []
        return {name: json.loads(b) for name, b in zip(names, beats, strict=True) if b}

    # API keys

    def add_key(self, key: model.ApiKey) -> None:
        """Keep a new key's record."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(keys.api_key(key.id), mapping=codec.record_fields(key))
        pipe.sadd(keys.api_keys(key.tenant), key.id)
        pipe.execute()

    def find_key(self, key_id: str) -> model.ApiKey | None:
        """The record, or None."""
        fields = self._client.hgetall(keys.api_key(key_id))
        return codec.api_key(fields) if fields else None

    def list_keys(self, tenant: str) -> list[model.ApiKey]:
        """A tenant's keys, oldest first."""
        found = [self.find_key(key_id) for key_id in self._client.smembers(keys.api_keys(tenant))]
        return sorted((key for key in found if key), key=lambda key: key.id)

    def revoke_key(self, key_id: str, now_ms: int) -> None:
        """From now on the key opens nothing."""
        self._client.hset(keys.api_key(key_id), "revoked_at", now_ms)

    # Workspaces

    def add_workspace(self, workspace: model.Workspace) -> model.Workspace:
        """Add it as the next version of its name; the answer has version and time."""
        fields = codec.record_fields(workspace)
        flat = self._scripts.call("add_workspace", workspace.id, changes(fields))
        return codec.workspace(pairs(flat))

    def find_workspace(self, workspace_id: str) -> model.Workspace | None:
        """The record, or None."""
        fields = self._client.hgetall(keys.workspace(workspace_id))
        return codec.workspace(fields) if fields and "doomed" not in fields else None

    def workspace_named(
        self, tenant: str, name: str, version: int | None
    ) -> model.Workspace | None:
        """One version of a name, the newest for None; None when there is no such one."""
        index = keys.workspaces(tenant, name)
        if version is None:
            found = self._client.zrevrange(index, 0, 0)
        else:
            found = self._client.zrangebyscore(index, version, version)
        return self.find_workspace(found[0]) if found else None

    def list_workspaces(self, tenant: str, *, most: int = 100) -> list[model.Workspace]:
        """A tenant's workspace versions, newest first."""
        found = [
            self.find_workspace(workspace_id)
            for workspace_id in self._client.zrevrange(keys.workspaces(tenant), 0, most - 1)
        ]
        return [workspace for workspace in found if workspace]

    def drop_workspace(self, workspace_id: str, *, unused: bool = False) -> bool:
        """Take one version out of all lists; the numbers of the others stay. Its object goes next.

        False, and nothing done, when with `unused` a sandbox still has to be made from it.
        """
        how = "unused" if unused else ""
        return bool(self._scripts.call("drop_workspace", workspace_id, how) != "used")

    def old_workspaces(self, tenant: str, name: str, *, keep: int) -> list[str]:
        """The versions of a name beyond the newest `keep`."""
        return list(self._client.zrange(keys.workspaces(tenant, name), 0, -1 - keep))

    def dropped_workspaces(self) -> list[tuple[str, str]]:
        """Ids and object keys of dropped versions whose objects may still be there."""
        found = list(self._client.smembers(keys.DOOMED))
        return [(one, self._client.hget(keys.workspace(one), "key") or "") for one in found]

    def forget_workspace(self, workspace_id: str) -> None:
        """The object of a dropped version is gone."""
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(keys.workspace(workspace_id), keys.workspace_users(workspace_id))
        pipe.srem(keys.DOOMED, workspace_id)
        pipe.execute()
