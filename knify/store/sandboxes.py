"""Sandboxes in Redis. Their state moves with the executions that use them (`executions.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from knify import errors, model
from knify.store import codec, keys
from knify.store.redis import Client, Scripts


@dataclass(frozen=True, slots=True)
class Retired:
    """The answer to a wish to delete a sandbox."""

    verdict: str  # deleted | again | busy | doomed (goes after its last turn) | missing
    turns: tuple[str, ...] = ()  # the executions that keep it busy
    node: str = ""  # whose workers have to remove the container


@dataclass(frozen=True, slots=True)
class Orphan:
    """What a node's Podman has of a sandbox that no record knows."""

    id: str
    node: str
    kinds: tuple[str, ...]  # of container, volume
    created_at: int  # ms, by Podman
    found_at: int  # ms by Redis's clock


class Sandboxes:
    """All that can be done to sandboxes as a whole."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def find(self, sandbox_id: str) -> model.Sandbox | None:
        """The record, or None."""
        fields = self._client.hgetall(keys.sandbox(sandbox_id))
        return codec.sandbox(fields) if fields else None

    def get(self, sandbox_id: str, *, tenant: str) -> model.Sandbox:
        """The record; NotFound also when another tenant owns it."""
        found = self.find(sandbox_id)
        if found is None or found.tenant != tenant:
            raise errors.NotFound(f"no sandbox {sandbox_id}")
        return found

    def page(self, tenant: str, *, offset: int, limit: int) -> tuple[list[model.Sandbox], int]:
        """Some of a tenant's sandboxes, newest first, and how many there are."""
        index = keys.sandboxes(tenant)
        pipe = self._client.pipeline(transaction=False)
        pipe.zcard(index)
        pipe.zrevrange(index, offset, offset + limit - 1)
        total, ids = pipe.execute()
        return self.get_many(ids), total

    def get_many(self, ids: Iterable[str]) -> list[model.Sandbox]:
        """The records that exist, in the order of `ids`, in one round trip."""
        pipe = self._client.pipeline(transaction=False)
        for sandbox_id in ids:
            pipe.hgetall(keys.sandbox(sandbox_id))
        return [codec.sandbox(fields) for fields in pipe.execute() if fields]

    def on_node(
        self, node: str, cursor: int, *, about: int = 500
    ) -> tuple[int, list[model.Sandbox]]:
        """A part of those that live on the node, and the cursor of the next (0: from the start)."""
        cursor, ids = self._client.sscan(keys.located(node), cursor, count=about)
        return int(cursor), self.get_many(ids)

    def lose(self, node: str, sandbox: model.Sandbox, reason: str) -> bool:
        """Mark an idle one of the node as lost, unless it has changed since `sandbox` was read."""
        changed = sandbox.state_changed_at
        return bool(self._scripts.call("lose_sandbox", sandbox.id, node, changed, reason))

    def adopt(self, node: str, ids: Iterable[str]) -> list[str]:
        """Give records that lost their node to a rollback the node that holds the sandbox."""
        return list(self._scripts.call("adopt", node, *ids))

    def note_orphan(self, orphan: Orphan) -> None:
        """Remember since when it is here; the first note counts."""
        text = json.dumps(asdict(orphan))
        self._client.hsetnx(keys.orphans(orphan.node), orphan.id, text)

    def forget_orphan(self, orphan: Orphan) -> None:
        """It is gone, or known again."""
        self._client.hdel(keys.orphans(orphan.node), orphan.id)

    def orphans(self, node: str) -> list[Orphan]:
        """The node's, oldest finding first."""
        rows = [json.loads(text) for text in self._client.hvals(keys.orphans(node))]
        found = [Orphan(**row | {"kinds": tuple(row["kinds"])}) for row in rows]
        return sorted(found, key=lambda orphan: (orphan.found_at, orphan.id))

    def turns(self, sandbox_id: str) -> list[str]:
        """Its executions that are not terminal, in order."""
        return list(self._client.lrange(keys.turns(sandbox_id), 0, -1))

    def turns_of(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """The same of several sandboxes, in one round trip."""
        names = list(ids)
        pipe = self._client.pipeline(transaction=False)
        for sandbox_id in names:
            pipe.lrange(keys.turns(sandbox_id), 0, -1)
        return dict(zip(names, pipe.execute(), strict=True))

    def retire(self, sandbox_id: str, *, expired: bool = False, force: bool = False) -> Retired:
        """Mark as deleted; its container goes as soon as the node's workers come to it.

        With turns that run or wait it is `busy`, or with `force` doomed: no turn may be added,
        and the last one's end deletes it.
        """
        how = "expired" if expired else "force" if force else ""
        verdict, *rest = self._scripts.call("retire_sandbox", sandbox_id, how)
        if verdict in ("busy", "doomed"):
            return Retired(verdict, turns=tuple(rest))
        return Retired(verdict, node=rest[0] if rest else "")

    def expired(self, now_ms: int, *, most: int = 100) -> list[str]:
        """Idle sandboxes whose time is over."""
        return list(self._client.zrangebyscore(keys.EXPIRY, "-inf", now_ms, start=0, num=most))

    def removals(self, node: str) -> list[str]:
        """Deleted sandboxes whose container and volumes the node still has to remove."""
        return sorted(self._client.smembers(keys.removals(node)))

    def removed(self, node: str, sandbox_id: str) -> None:
        """Container and volumes are gone."""
        self._client.srem(keys.removals(node), sandbox_id)
