"""What is not an execution: the installation, nodes, API keys and workspaces."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from knify import capacity, errors, ids, model
from knify.store import codec, keys
from knify.store.redis import Client, Scripts, changes, pairs

_HEARTBEAT_SECONDS = 60
_NODE_DAYS = 1


class Registry:
    """Small records that every process may read."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts
        self._recent: tuple[float, dict[str, dict[str, Any]]] = (-math.inf, {})

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

    def ping(self) -> None:
        """Raise unless Redis answers."""
        self._client.ping()

    # Nodes

    def heartbeat(
        self,
        node: str,
        facts: dict[str, Any],
        now_ms: int,
        *,
        patience_ms: int = capacity.PATIENCE_MS,
    ) -> str:
        """Say that a node lives, and what it offers (JSON-able, see `workers/node.py`).

        Returns the next execution that waits for this node and fits now, or ''.
        """
        size = capacity.of_facts(facts)
        declared = {
            "slots": size.slots,
            "cpus": None if size.cpus is None else int(size.cpus * 1000),
            "memory": size.memory,
            "disk": size.disk,
            "low": size.low,
        }
        said = [word for name, n in declared.items() if n is not None for word in (name, n)]
        days = _NODE_DAYS * 86_400_000
        words = (node, json.dumps(facts), now_ms, _HEARTBEAT_SECONDS, days, patience_ms)
        return str(self._scripts.call("heartbeat", *words, *said))

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The living nodes by name."""
        names = self._client.zrange(keys.NODES, 0, -1)
        beats = self._client.mget([f"{keys.node(name)}:beat" for name in names]) if names else []
        return {name: json.loads(b) for name, b in zip(names, beats, strict=True) if b}

    def recent_nodes(self, *, seconds: float = 2.0) -> dict[str, dict[str, Any]]:
        """The same as this process saw it at most `seconds` ago: for what every submission asks."""
        asked, found = self._recent
        if time.monotonic() - asked > seconds:
            found = self.nodes()
            self._recent = (time.monotonic(), found)
        return found

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
        return codec.workspace(fields) if fields else None

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

    def remove_workspace(self, workspace: model.Workspace) -> None:
        """Forget one version; the numbers of the others stay."""
        pipe = self._client.pipeline(transaction=True)
        pipe.zrem(keys.workspaces(workspace.tenant), workspace.id)
        pipe.zrem(keys.workspaces(workspace.tenant, workspace.name), workspace.id)
        pipe.delete(keys.workspace(workspace.id))
        pipe.execute()
