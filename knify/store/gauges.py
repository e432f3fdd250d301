"""How much there is of everything: read from counters and sizes of indexes, never from records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from knify.lifecycle import TERMINAL, State
from knify.store import keys, nodekeys
from knify.store.redis import Client

TALLY: Final = f"{keys.PREFIX}tally"
#: Sets and lists of the whole installation whose sizes say something; what each counts.
SIZES: Final = {
    "due": keys.DUE,  # executions that have not ended
    "idle": keys.EXPIRY,  # sandboxes without turns, wherever they are
    "ended": keys.ENDED,  # executions that are not packed yet
    "packed": keys.PACKED,
    "packed_files": keys.PACKED_FILES,
    "expiring": keys.EXPIRING,
    "deleting": keys.DELETING,
    "removals": keys.OBJECT_REMOVALS,  # objects to be deleted
    "webhooks_due": f"{keys.WEBHOOKS}:due",
    "webhooks_ill": f"{keys.WEBHOOKS}:ill",
    "waiting": f"{keys.PREFIX}oldest:",  # executions that wait for room on any node
}
_QUEUE: Final = "knify"  # of hints to any node, see `hints.py`
_KINDS: Final = ("cpus", "memory", "disk")
_Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OfNode:
    """One node."""

    name: str
    lives: bool
    drains: bool
    offers: _Counts  # slots, cpus (cores), memory and disk (bytes), as far as they were declared
    used: _Counts  # the same of what is under way
    sandboxes: _Counts  # located, paused, hot, removals
    waiting: int  # executions that wait for room there
    age: float  # seconds for which the oldest of these has waited
    hints: int  # messages to its workers that none has taken yet


@dataclass(frozen=True, slots=True)
class Gauges:
    """A moment of the installation."""

    now: _Counts  # by state that is not terminal
    came: _Counts  # by state: how many ever came into it
    left: _Counts  # by state that is not terminal: how many have left it
    seconds: _Counts  # by the same: how long those had been in it, together
    sizes: _Counts  # see SIZES; `hints`: messages to any node that none has taken yet
    age: float  # seconds for which the oldest execution without a node has waited
    counts: _Counts  # what processes counted, see `counters`
    redis: _Counts  # bytes: `used_memory`, and `maxmemory`, 0 where there is no limit
    nodes: list[OfNode] = field(default_factory=list)


class Meter:
    """Reads them in four round trips, however much there is; a little more for each node."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read(self) -> Gauges:
        """All of it, now."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(TALLY)
        pipe.hkeys(keys.DRAINING)
        pipe.hkeys(nodekeys.CORDONED)
        pipe.zrange(keys.NODES, 0, -1)
        for key in SIZES.values():
            pipe.zcard(key)
        pipe.llen(_QUEUE)
        pipe.zrange(SIZES["waiting"], 0, 0, withscores=True)
        pipe.hgetall(keys.COUNTS)
        pipe.info("memory")
        pipe.time()
        tally, draining, cordoned, names, *sizes, hinted, first, counts, memory, now = (
            pipe.execute()
        )
        closed = {*draining, *cordoned}
        known = sorted({*names, *closed})
        return Gauges(
            **_states({name: int(n) for name, n in tally.items()}),
            sizes=dict(zip(SIZES, sizes, strict=True)) | {"hints": hinted},
            age=_age(first, now),
            counts={field: float(value) for field, value in counts.items()},
            redis={kind: float(memory.get(kind, 0)) for kind in ("used_memory", "maxmemory")},
            nodes=list(self._nodes(known, closed, now)),
        )

    def _nodes(self, names: list[str], closed: set[str], now: Any) -> Iterator[OfNode]:
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.get(f"{keys.node(name)}:beat")
            pipe.hmget(f"{keys.node(name)}:capacity", "slots", *_KINDS)
            pipe.hmget(keys.used(name), _KINDS)
            pipe.scard(keys.active(name))
            pipe.scard(keys.located(name))
            pipe.zcard(keys.paused(name))
            pipe.zcard(keys.hot(name))
            pipe.scard(keys.removals(name))
            pipe.zcard(f"{keys.PREFIX}oldest:{name}")
            pipe.zrange(f"{keys.PREFIX}oldest:{name}", 0, 0, withscores=True)
            pipe.llen(f"{_QUEUE}.node.{name}")
        found = iter(pipe.execute() if names else ())
        for name in names:
            beat, offers, used, active, *counts, waiting, first, hinted = (
                next(found) for _ in range(11)
            )
            yield OfNode(
                name=name,
                lives=bool(beat),
                drains=name in closed,
                offers=_room(offers[0], offers[1:]),
                used=_room(active, used),
                sandboxes=dict(zip(("located", "paused", "hot", "removals"), counts, strict=True)),
                waiting=waiting,
                age=_age(first, now),
                hints=hinted,
            )


def _age(first: list[tuple[str, float]], now: tuple[int, int]) -> float:
    return max(0.0, now[0] - first[0][1] / 1000) if first else 0.0


def _room(slots: Any, amounts: list[Any]) -> dict[str, float]:
    found = {} if slots is None else {"slots": float(slots)}
    found |= {kind: float(n) for kind, n in zip(_KINDS, amounts, strict=True) if n is not None}
    if "cpus" in found:
        found["cpus"] /= 1000
    return found


def _states(tally: Mapping[str, int]) -> dict[str, dict[str, float]]:
    came = {state.value: tally.get(f"came:{state}", 0) for state in State}
    passing = [state.value for state in State if state not in TERMINAL]
    left = {state: tally.get(f"left:{state}", 0) for state in passing}
    return {
        "now": {state: came[state] - left[state] for state in passing},
        "came": dict(came),
        "left": dict(left),
        "seconds": {state: tally.get(f"ms:{state}", 0) / 1000 for state in passing},
    }
