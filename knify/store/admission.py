"""Slots, capacity and waiting lines, as they are read; `lua/admission.lua` moves them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from knify import capacity, model
from knify.capacity import Room
from knify.lifecycle import State
from knify.store import executionkeys, keys, nodekeys
from knify.store.redis import Client, Scripts, now_ms

_SHOWN = 3  # nodes that a reason names


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where a pending execution stands, and what it waits for."""

    position: int  # from 1, within its tenant's line
    reason: str


class Admission:
    """What the nodes have room for, and who waits."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def recount(self, node: str) -> dict[str, list[int]] | None:
        """Hold the node's counters against its active executions, and correct them in one step.

        None when they were right; else `before` and `now` (thousandths of a core, bytes, bytes).
        """
        verdict, *rest = self._scripts.call("recount", node)
        if verdict == "right":
            return None
        return {"dropped": rest[:1], "before": rest[1:4], "now": rest[4:]}

    def rooms(self, nodes: Mapping[str, Mapping[str, Any]]) -> list[Room]:
        """What is used on these nodes (heartbeats by name), in one round trip."""
        pipe = self._client.pipeline(transaction=False)
        for name in nodes:
            pipe.scard(keys.active(name))
            pipe.hmget(keys.used(name), capacity.KINDS)
            pipe.hmget(keys.hold(name), "id", "until")
        answers = iter(pipe.execute() if nodes else ())
        now = now_ms(self._client) if nodes else 0
        found = []
        for name, facts in nodes.items():
            slots, (cpus, memory, disk), (held, until) = (next(answers) for _ in range(3))
            found.append(
                Room(
                    name,
                    capacity.of_facts(facts),
                    slots=slots,
                    cpus=int(cpus or 0) / 1000,
                    memory=int(memory or 0),
                    disk=int(disk or 0),
                    held_for=held if held and int(until or 0) > now else None,
                )
            )
        return found

    def waiting(
        self,
        found: Iterable[model.Execution],
        nodes: Callable[[], Mapping[str, Mapping[str, Any]]],
    ) -> dict[str, Waiting]:
        """Of those that are pending: position and reason. `nodes` gives heartbeats by name.

        The position counts within the tenant's line; until a worker has looked at it, among the
        tenant's pending ones.
        """
        pending = [x for x in found if x.state is State.PENDING]
        if not pending:
            return {}
        pipe = self._client.pipeline(transaction=False)
        for x in pending:
            whole = keys.pending(x.tenant)
            pipe.zrank(whole if x.line is None else keys.line(x.line, x.tenant), x.id)
            pipe.lindex(keys.turns(x.sandbox_id or ""), 0)
            pipe.hget(keys.sandbox(x.sandbox_id or ""), "node")
            pipe.hget(keys.execution(x.child_of or ""), "most_children")
            pipe.scard(executionkeys.working_children(x.child_of or ""))
        pipe.hkeys(keys.DRAINING)
        pipe.hkeys(nodekeys.CORDONED)
        *flat, draining, cordoned = pipe.execute()
        closed = {*draining, *cordoned}
        answers = iter(flat)
        rooms = self.rooms(nodes())
        shown = {}
        for x in pending:
            rank, turn, node, most, work = (next(answers) for _ in range(5))
            reason = _reason(x, rooms, turn or x.id, node, closed)
            if most is not None and work >= int(most):
                reason = f"its parent task lets {most} of its children run at a time"
            shown[x.id] = Waiting((rank or 0) + 1, reason)
        return shown


def _reason(
    x: model.Execution, rooms: list[Room], turn: str, node: str | None, closed: Collection[str]
) -> str:
    """The first thing that is in its way."""
    if turn != x.id:
        return "an earlier job of its sandbox has not ended"
    places = [room for room in rooms if node in (None, room.node)]
    if node is None and places:
        places = [room for room in places if room.node not in closed]
        if not places:
            return "all nodes are draining or cordoned: `knify nodes undrain` or `uncordon` one"
    if not places:
        return f"its sandbox's node {node} is away" if node else "no node is there"
    short = [capacity.shortfall(x.spec.resources, room) for room in places]
    if all(short):
        if len(short) > 1 and all(text and text.startswith("no free slot") for text in short):
            return "no free slot on any node"
        return "; ".join(text for text in short[:_SHOWN] if text)
    held = [
        room.node for room, text in zip(places, short, strict=True) if not text and room.held_for
    ]
    if held and all(room.held_for != x.id for room in places):
        return f"{held[0]} is held for a larger job that has waited for long"
    return "it is about to start, or others are before it"
