"""What happened minute by minute, for the last day: rows of counters that only grow."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from knify.lifecycle import TERMINAL, State
from knify.store import gauges, keys
from knify.store.redis import Client

MINUTES: Final = f"{keys.PREFIX}minutes"
KEPT: Final = 24 * 60  # rows
_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Minute:
    """Between two rows of the counters."""

    at: int  # ms: its end
    ended: Mapping[str, float]  # by terminal state: how many
    began: float  # how many were accepted
    waiting: float  # pending at its end
    running: float  # at its end, in any state between pending and terminal
    wait_seconds: float | None  # mean, from the acceptance to a worker; None: nobody left the line
    run_seconds: float | None  # mean time of the commands that ended in it


class Minutes:
    """The rows, written by the sweep and read by operators."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def note(self, now: int) -> bool:
        """Keep a row of the counters, the first time in a minute that somebody asks; whether so."""
        mark = f"{MINUTES}:at"
        if not self._client.set(mark, "1", nx=True, px=_MS - now % _MS):
            return False
        row = {"at": now} | {k: int(v) for k, v in self._client.hgetall(gauges.TALLY).items()}
        pipe = self._client.pipeline(transaction=True)
        pipe.rpush(MINUTES, json.dumps(row, separators=(",", ":")))
        pipe.ltrim(MINUTES, -KEPT, -1)
        pipe.execute()
        return True

    def read(self, count: int) -> list[Minute]:
        """The newest `count` of them, oldest first."""
        rows = [json.loads(row) for row in self._client.lrange(MINUTES, -count - 1, -1)]
        return [_between(a, b) for a, b in itertools.pairwise(rows)]


def _between(before: Mapping[str, int], after: Mapping[str, int]) -> Minute:
    """Counters that were lost with an older state of Redis count from where they are now."""

    def more(name: str) -> float:
        return max(0, after.get(name, 0) - before.get(name, 0))

    def mean(state: str) -> float | None:
        left = more(f"left:{state}")
        return more(f"ms:{state}") / 1000 / left if left else None

    def now(state: str) -> int:
        return max(0, after.get(f"came:{state}", 0) - after.get(f"left:{state}", 0))

    passing = [state for state in State if state not in TERMINAL and state is not State.PENDING]
    return Minute(
        at=after["at"],
        ended={state.value: more(f"came:{state}") for state in sorted(TERMINAL)},
        began=more(f"came:{State.PENDING}"),
        waiting=now(State.PENDING),
        running=sum(now(state) for state in passing),
        wait_seconds=mean(State.PENDING),
        run_seconds=mean(State.RUNNING),
    )
