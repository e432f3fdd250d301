"""What is not an execution: the installation and nodes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from knify import capacity, errors, ids, model
from knify.store import keys, migrate, nodekeys, upgrade
from knify.store.redis import Client, Scripts, now_ms

T = TypeVar("T")

_HEARTBEAT_SECONDS = 60
_DAY_SECONDS = 86_400
_TREES = 16  # nodes of which it is known that they have a workspace
_IMAGES = 500  # of one node


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat."""

    taken: dict[str, Any] | None  # facts of another machine that lives under this node's name
    woken: str  # the next execution that waits for this node and fits now, or ''


@dataclass(frozen=True, slots=True)
class Pulse:
    """How far the store has counted."""

    epoch: int
    clock: int
    noticed: bool  # this call found that the store was put back, and raised the epoch
    found: int  # the clock before that


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
        upgrade.check(self.schema())
        return str(known)

    def schema(self) -> int:
        """The number of the form that the store's records have."""
        return int(self._client.get(keys.SCHEMA) or model.SCHEMA)

    def upgrade(self) -> int:
        """Bring a store of the version before to this one's form; how many records it holds.

        ConfigError, and nothing is raised, while a record cannot be read. Safe to repeat and to
        race: whoever comes late changes nothing.
        """
        if self.schema() >= model.SCHEMA:
            return 0
        read = migrate.check(self._client, self._scripts)
        migrate.lists(self._client, self._scripts)
        self._client.set(keys.SCHEMA, model.SCHEMA)
        return read

    def known_installation(self) -> str | None:
        """This store's installation id; None in an empty one. Makes nothing."""
        found = self._client.get(keys.INSTALLATION)
        return None if found is None else str(found)

    def ping(self) -> None:
        """Raise unless Redis answers."""
        self._client.ping()

    def is_full(self) -> bool:
        """Whether Redis has taken all that it may, and so refuses to write."""
        memory = self._client.info("memory")
        limit = int(memory.get("maxmemory", 0))
        return bool(limit) and int(memory["used_memory"]) > limit

    # Nodes

    def heartbeat(
        self,
        node: str,
        facts: dict[str, Any],
        now_ms: int | None = None,
        *,
        machine: str = "",
        patience_ms: int = capacity.PATIENCE_MS,
    ) -> Beat:
        """Say that a node lives, and what it offers (JSON-able, see `workers/node.py`).

        `machine` says which machine it is. Nothing is written while another one holds the name.
        `now_ms`: by Redis's clock, None for now. StoreNewer: this version is too old for the store.
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
        moment = "" if now_ms is None else now_ms
        life = moment, _HEARTBEAT_SECONDS, patience_ms
        images = json.dumps(list(facts.get("images", ()))[:_IMAGES])
        words = (node, json.dumps(facts), machine, *life, model.SCHEMA, images)
        taken, woken = self._scripts.call("heartbeat", *words, *said)
        return Beat(dict(json.loads(taken)) if taken else None, woken)

    def take_name(self, node: str, machine: str) -> dict[str, Any] | None:
        """Reserve a node's name for this machine; the facts of the living one that has it."""
        held = self._scripts.call("take_name", node, machine, _HEARTBEAT_SECONDS)
        return dict(json.loads(held)) if held else None

    def pulse(self, epoch: int, clock: int) -> Pulse:
        """Count on. `epoch` and `clock`: the highest that the caller has seen."""
        found_epoch, found_clock, noticed, before = self._scripts.call("pulse", epoch, clock)
        return Pulse(int(found_epoch), int(found_clock), bool(noticed), int(before))

    def rolled_back_at(self) -> int:
        """When the store was last found put back, ms by Redis's clock; 0 for never."""
        return int(self._client.get(keys.ROLLED_AT) or 0)

    def watch(self, pause_ms: int, jump_ms: int) -> tuple[int, int]:
        """For how long (ms) sweepers have seen this Redis, no pause longer than `pause_ms`; and
        how long ago (ms) its clock went more than `jump_ms` forward between two looks, or back
        over such a jump; -1: never.
        """
        watched, jumped = self._scripts.call("watch", pause_ms, jump_ms)
        return int(watched), int(jumped)

    def keep_all(self, seconds: int) -> None:
        """Let nothing expire for so long, since a backup reads it; 0: no longer."""
        if seconds:
            self._client.set(nodekeys.KEEP, "1", ex=seconds)
        else:
            self._client.delete(nodekeys.KEEP)

    def keeps_all(self) -> bool:
        """Whether nothing may expire now."""
        return bool(self._client.exists(nodekeys.KEEP))

    def put_back(self) -> None:
        """Say of a store that was filled from a backup that it is an older one: a new epoch."""
        pipe = self._client.pipeline(transaction=True)
        pipe.incr(keys.EPOCH)
        pipe.incr(keys.CLOCK)
        pipe.set(keys.ROLLED_AT, self.now_ms())
        pipe.delete(keys.WATCH, nodekeys.KEEP)
        pipe.execute()

    def watched_since(self) -> int | None:
        """Since when (ms by Redis's clock) a sweeper has seen it without a break."""
        since = self._client.hget(keys.WATCH, "since")
        return int(since) if since else None

    def now_ms(self) -> int:
        """Redis's own time."""
        return now_ms(self._client)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The living nodes by name."""
        names = self._client.zrange(keys.NODES, 0, -1)
        beats = self._client.mget([f"{keys.node(name)}:beat" for name in names]) if names else []
        return {name: json.loads(b) for name, b in zip(names, beats, strict=True) if b}

    def node_names(self) -> list[str]:
        """All that were heard of within a day, living or not."""
        return list(self._client.zrange(keys.NODES, 0, -1))

    def drain(self, node: str, on: bool) -> list[str]:
        """Let no new sandbox come to the node, or again; executions worth a hint. Kept for ever."""
        return list(self._scripts.call("drain", node, "1" if on else ""))

    def cordon(self, node: str, on: bool) -> list[str]:
        """Let no new sandbox come to the node, or again; its own stay. As `drain` otherwise."""
        return list(self._scripts.call("cordon", node, "1" if on else ""))

    def cordoned(self) -> dict[str, int]:
        """The cordoned nodes: since when (ms)."""
        found = self._client.hgetall(nodekeys.CORDONED)
        return {node: int(since) for node, since in found.items()}

    def closed(self) -> set[str]:
        """Nodes to which no new sandbox comes: those that drain or are cordoned."""
        return {*self._client.hkeys(keys.DRAINING), *self._client.hkeys(nodekeys.CORDONED)}

    def unpacked(self, node: str, workspace_id: str) -> None:
        """Note that the node has a workspace's files at hand."""
        key = nodekeys.trees(workspace_id)
        pipe = self._client.pipeline(transaction=False)
        pipe.zadd(key, {node: time.time()})
        pipe.zremrangebyrank(key, 0, -1 - _TREES)
        pipe.expire(key, _DAY_SECONDS)
        pipe.execute()

    def draining(self) -> dict[str, dict[str, int]]:
        """The draining nodes: since when (ms), and how many were paused there then."""
        found = self._client.hgetall(keys.DRAINING)
        return {node: json.loads(facts) for node, facts in found.items()}

    def forget(self, node: str, *, force: bool = False) -> dict[str, int]:
        """Forget a node that is not to come back; else what it still holds. NodeAlive.

        `force`: whatever was still to be removed there.
        """
        found = self._scripts.call("forget_node", node, "1" if force else "")
        words = ("active", "sandboxes", "removals", "waiting")
        return {} if found == "ok" else dict(zip(words, map(int, found), strict=True))

    def counts(self, nodes: Iterable[str]) -> dict[str, dict[str, int]]:
        """How many executions and sandboxes each node has, and how many wait for room there."""
        names = list(nodes)
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.scard(keys.active(name))
            pipe.zcard(keys.paused(name))
            pipe.zcard(keys.hot(name))
            pipe.scard(keys.removals(name))
            pipe.scard(keys.located(name))
            pipe.zcard(f"{keys.PREFIX}oldest:{name}")
        found = iter(pipe.execute() if names else [])
        words = ("active", "paused", "hot", "removals", "sandboxes", "waiting")
        return {name: {word: int(next(found)) for word in words} for name in names}

    def recent_nodes(self, *, seconds: float = 2.0) -> dict[str, dict[str, Any]]:
        """The same as this process saw it at most `seconds` ago: for what every submission asks."""
        asked, found = self._recent
        if time.monotonic() - asked > seconds:
            found = self.nodes()
            self._recent = (time.monotonic(), found)
        return found
