"""What a node can hold, what of it is free, and whether a job fits: pure arithmetic.

A node's heartbeat declares its capacity; `store/lua/admission.lua` keeps what is used and decides.
Here the same numbers are explained to people, and what can never fit is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from knify import errors, units
from knify.model import Resources

#: How long a job that does not fit is passed by smaller ones before a node is held for it, for as
#: long again; then all may pass it for the same time, in turns. Milliseconds.
PATIENCE_MS: Final = 600_000

KINDS: Final = ("cpus", "memory", "disk")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node declares; None is without limit."""

    slots: int | None = None  # jobs under way at one time
    cpus: float | None = None  # what the shares of all jobs may add up to, overcommit included
    memory: int | None = None  # bytes
    disk: int | None = None  # bytes
    low: str | None = None  # why it takes nothing new, such as "low disk on n1: …"


@dataclass(frozen=True, slots=True)
class Room:
    """A living node's capacity and what its active executions take of it."""

    node: str
    capacity: Capacity
    slots: int = 0  # used
    cpus: float = 0.0  # used
    memory: int = 0  # used, bytes
    disk: int = 0  # used, bytes
    held_for: str | None = None  # the execution that this node is held for


def of_facts(facts: Mapping[str, Any]) -> Capacity:
    """What a heartbeat says; an older worker's says less."""
    cpus, overcommit = facts.get("cpus"), facts.get("cpu_overcommit")
    return Capacity(
        slots=facts.get("slots"),
        cpus=cpus * overcommit if cpus and overcommit else None,
        memory=facts.get("memory"),
        disk=facts.get("disk"),
        low=facts.get("low_disk"),
    )


def fit(
    wanted: Resources, written: Collection[str], nodes: Mapping[str, Mapping[str, Any]]
) -> Resources:
    """What the job gets: what was `written` as it is, defaults cut to the size of a node.

    `nodes`: heartbeats by name; without any, nothing is refused. InsufficientResources when no node
    could ever hold the written values.
    """
    sizes = [of_facts(facts) for facts in nodes.values()]
    if not sizes:
        return wanted
    best = min(sizes, key=lambda size: (_misses(wanted, written, size), -(size.memory or 2**62)))
    if _misses(wanted, written, best):
        asked = {kind: getattr(wanted, kind) for kind in KINDS}
        there = {kind: getattr(best, kind) for kind in KINDS}
        short = [kind for kind in KINDS if kind in written and _exceeds(wanted, best, kind)]
        texts = (
            f"{k}: {_show(k, asked[k])} requested, {_show(k, there[k])} at most" for k in short
        )
        raise errors.InsufficientResources(
            f"no node can ever hold this job ({'; '.join(texts)})",
            detail={"requested": asked, "available": there},
        )
    cut = {kind: getattr(best, kind) for kind in KINDS if _exceeds(wanted, best, kind)}
    return wanted.evolve(**cut) if cut else wanted


def shortfall(wanted: Resources, room: Room) -> str | None:
    """Why this job cannot start on this node now; None when it fits."""
    size = room.capacity
    if size.low:
        return size.low
    if size.slots is not None and room.slots >= size.slots:
        return f"no free slot on {room.node}"
    for kind in KINDS:
        limit = getattr(size, kind)
        if limit is not None and getattr(wanted, kind) > limit - getattr(room, kind):
            needs, free = getattr(wanted, kind), max(0, limit - getattr(room, kind))
            return f"{kind}: needs {_show(kind, needs)}, {_show(kind, free)} free on {room.node}"
    return None


def _misses(wanted: Resources, written: Collection[str], size: Capacity) -> int:
    return sum(kind in written and _exceeds(wanted, size, kind) for kind in KINDS)


def _exceeds(wanted: Resources, size: Capacity, kind: str) -> bool:
    limit = getattr(size, kind)
    return limit is not None and getattr(wanted, kind) > limit


def _show(kind: str, amount: float) -> str:
    return f"{amount:g}" if kind == "cpus" else units.show_size(int(amount))
