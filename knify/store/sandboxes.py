"""Sandboxes in Redis. Their state moves with the executions that use them (`executions.py`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from knify import errors, lifecycle, model
from knify.lifecycle import SandboxState
from knify.store import codec, keys
from knify.store.redis import Client, Scripts

_AT_ONCE: Final = 1_000  # look-ups of one round trip


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
        return codec.sandbox(fields, sandbox_id) if fields else None

    def get(self, sandbox_id: str, *, tenant: str) -> model.Sandbox:
        """The record; NotFound also when another tenant owns it."""
        found = self.find(sandbox_id)
        if found is None or found.tenant != tenant:
            raise errors.NotFound(f"no sandbox {sandbox_id}")
        return found

    def page(
        self,
        tenant: str,
        *,
        states: Collection[SandboxState] = (),
        offset: int,
        limit: int,
    ) -> tuple[list[model.Sandbox], int]:
        """Some of a tenant's sandboxes, newest first, and how many there are.

        `states`: only those in one of these, for which each one's state is looked up.
        """
        index = keys.sandboxes(tenant)
        if states:
            fitting = [name for name, state in self._states(index) if state in states]
            return self.get_many(fitting[offset : offset + limit]), len(fitting)
        pipe = self._client.pipeline(transaction=False)
        pipe.zcard(index)
        pipe.zrevrange(index, offset, offset + limit - 1)
        total, ids = pipe.execute()
        return self.get_many(ids), total

    def get_many(self, ids: Iterable[str]) -> list[model.Sandbox]:
        """The records that exist, in the order of `ids`, in one round trip."""
        wanted = list(ids)
        pipe = self._client.pipeline(transaction=False)
        for sandbox_id in wanted:
            pipe.hgetall(keys.sandbox(sandbox_id))
        found = zip(wanted, pipe.execute(), strict=True)
        return [codec.sandbox(fields, name) for name, fields in found if fields]

    def _states(self, index: str) -> Iterator[tuple[str, str | None]]:
        names = self._client.zrevrange(index, 0, -1)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            pipe = self._client.pipeline(transaction=False)
            for name in some:
                pipe.hget(keys.sandbox(name), "state")
            yield from zip(some, pipe.execute(), strict=True)

    def extend(self, sandbox_id: str, ms: int) -> int:
        """Let an idle one live for so long from now on, or as long as it would; until when (ms).

        NotFound, SandboxBusy, SandboxDeleted, SandboxExpired, SandboxLost, SandboxNone.
        """
        return int(self._scripts.call("extend_sandbox", sandbox_id, ms))

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

    # A container that is stopped or removed outside a turn: turns are kept away meanwhile.

    def hold(
        self, sandbox_id: str, *, node: str, owner: str, ms: int, purpose: str
    ) -> tuple[str, str]:
        """(held | kept | stale | refused, who holds it). `purpose` is stop or remove.

        `stale`: the holder's time is over, but it may live. Refused to stop what has turns, and
        to remove what lives on this node or is being made there.
        """
        verdict, *rest = self._scripts.call("hold", sandbox_id, node, owner, ms, purpose)
        return verdict, rest[0] if rest else ""

    def unhold(self, sandbox_id: str, *, node: str, owner: str, done: str = "") -> str:
        """End a hold; `done` is stopped, removed, left or nothing. Returns a turn to hint, or ''.

        Left: the holder lives and does nothing more, but the hold lasts its time.
        Who ends another process's hold has proved it dead.
        """
        return str(self._scripts.call("unhold", sandbox_id, node, owner, done))

    # Idle sandboxes

    def paused(self, node: str, *, most: int = 100) -> list[tuple[str, int]]:
        """The node's idle paused sandboxes, oldest first, and since when (ms; 0: archive now)."""
        found = self._client.zrange(keys.paused(node), 0, most - 1, withscores=True)
        return [(sandbox_id, int(since)) for sandbox_id, since in found]

    def paused_count(self, node: str) -> int:
        """How many there are."""
        return int(self._client.zcard(keys.paused(node)))

    def hot(self, node: str) -> list[tuple[str, int]]:
        """Those whose container is frozen, and until when (ms); those that end first, first."""
        found = self._client.zrange(keys.hot(node), 0, -1, withscores=True)
        return [(sandbox_id, int(until)) for sandbox_id, until in found]

    def shelve(self, sandbox_ids: Iterable[str]) -> None:
        """Enter those that are idle and are in no list, such as an earlier version's."""
        if ids := list(sandbox_ids):
            self._scripts.call("shelve", *ids)

    def want_archived(self, sandbox_id: str, node: str) -> bool:
        """Let the node archive it at the next opportunity; False when it is not idle there."""
        changed = self._client.zadd(keys.paused(node), {sandbox_id: 0}, xx=True, ch=True)
        self._client.publish(keys.node(node), "tidy")
        return bool(changed)

    # Archives

    def begin_archive(
        self, sandbox_id: str, *, node: str, owner: str, limit_ms: int, dead: str = ""
    ) -> tuple[str, str]:
        """(begun, key for the object) | (held, owner) | (busy, '').

        The sandbox stays usable. After `limit_ms` the archive is refused and its object deleted.
        """
        verdict, *rest = self._scripts.call(
            "archive_begin", sandbox_id, node, owner, limit_ms, dead
        )
        return verdict, rest[0] if rest else ""

    def commit_archive(
        self, sandbox_id: str, *, node: str, key: str, size: int, sha256: str
    ) -> bool:
        """The sandbox is this object from now on; False when a turn came meanwhile, or its end."""
        table = lifecycle.SANDBOX.items()
        before = json.dumps([here for here, after in table if SandboxState.ARCHIVED in after])
        answer = self._scripts.call("archive_commit", sandbox_id, node, key, size, sha256, before)
        return bool(answer == "archived")

    def abort_archive(self, sandbox_id: str, key: str) -> None:
        """Forget an archive that was not committed; its object goes."""
        self._scripts.call("archive_abort", sandbox_id, key)

    def old_objects(self, now_ms: int, *, most: int = 200) -> list[str]:
        """Objects that nobody needs any more."""
        index = keys.OBJECT_REMOVALS
        return list(self._client.zrangebyscore(index, "-inf", now_ms, start=0, num=most))

    def is_old(self, key: str, *, later_ms: int) -> bool:
        """Whether an object of `old_objects` may be deleted; else it is kept, or looked at later.

        Not while the record of its sandbox names it.
        """
        return bool(self._scripts.call("old_object", key, key.split("/")[1], later_ms))

    def rescue(
        self,
        sandbox: model.Sandbox,
        turn: model.Execution | None,
        *,
        key: str,
        size: int,
        sha256: str,
    ) -> bool:
        """Put an archive that a rollback forgot in the place of a sandbox that its node has not.

        False when it has changed since `sandbox` was read. `turn`: whose turn it is, None if idle.
        """
        what = (key, size, sha256)
        who = (turn.id, turn.fence) if turn else ("", "")
        changed = sandbox.state_changed_at
        node = sandbox.node or ""
        return bool(self._scripts.call("rescue", sandbox.id, node, changed, *what, *who))

    def forget_object(self, key: str) -> None:
        """The object is gone."""
        self._client.zrem(keys.OBJECT_REMOVALS, key)
