"""Runs of definitions in Redis: their lists, when they went on, and their retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from knify.store import jobkeys
from knify.store.definitions import LEASE_MS
from knify.store.redis import Client, Scripts

#: Classes of runs in their `spans` (2^29 s are 17 years), and the distance of their scores.
_CLASSES: Final = 30
_CLASS: Final = 2**42
_MOMENT: Final = 1000  # moments of one millisecond


class Runs:
    """All that is known of the runs of definitions, apart from their records."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def page(self, definition_id: str, *, offset: int, limit: int) -> tuple[list[str], int]:
        """Ids of its runs, newest first, and how many there are."""
        pipe = self._client.pipeline(transaction=False)
        pipe.zrevrange(jobkeys.runs(definition_id), offset, offset + limit - 1)
        pipe.zcard(jobkeys.runs(definition_id))
        ids, total = pipe.execute()
        return ids, total

    def newest(self, definition_ids: Sequence[str]) -> dict[str, str]:
        """The newest run of each of these that has one."""
        pipe = self._client.pipeline(transaction=False)
        for one in definition_ids:
            pipe.zrevrange(jobkeys.runs(one), 0, 0)
        found = pipe.execute() if definition_ids else []
        return {one: ids[0] for one, ids in zip(definition_ids, found, strict=True) if ids}

    def made(
        self, definition_id: str, windows: Sequence[tuple[int, int]], most: int
    ) -> list[tuple[list[str], int]]:
        """For each window (ms, without its end): the newest runs made in it, and how many."""
        key, pipe = jobkeys.runs(definition_id), self._client.pipeline(transaction=False)
        for start, end in windows:
            low, high = start * _MOMENT, end * _MOMENT - 1
            pipe.zrevrangebyscore(key, high, low, start=0, num=most)
            pipe.zcount(key, low, high)
        found = pipe.execute() if windows else []
        return list(zip(found[::2], found[1::2], strict=True))

    def counts(self, definition_id: str) -> dict[str, int]:
        """How many runs are in each state."""
        found = self._client.hgetall(jobkeys.counts(definition_id))
        return {state: int(n) for state, n in found.items()}

    def unlist(self, definition_id: str, execution_id: str) -> None:
        """A run that has no record any more."""
        lists = (jobkeys.runs, jobkeys.spans, jobkeys.ends)
        pipe = self._client.pipeline(transaction=True)
        for name in lists:
            pipe.zrem(name(definition_id), execution_id)
        pipe.execute()

    # When they went on

    def during(self, definition_id: str, at: int, *, slack: int = 0) -> list[str]:
        """Runs that had begun by this moment, and had not ended before; all times in ms.

        `slack`: how much later or earlier that may have been. However many runs there are, those
        are read that can reach so far by the class of their length, and of these never more than
        a few for each slot were there; see `lua/runs.lua`.
        """
        key, low, high = jobkeys.spans(definition_id), at - slack, at + slack
        pipe = self._client.pipeline(transaction=True)
        for n in range(_CLASSES):
            oldest = max(0, low - 1000 * 2**n) if n else 0
            pipe.zrangebyscore(key, n * _CLASS + oldest, n * _CLASS + max(0, high))
        names = [name for found in pipe.execute() for name in found]
        ends = self._client.zmscore(jobkeys.ends(definition_id), names) if names else []
        return [n for n, end in zip(names, ends, strict=True) if end is None or end >= low]

    def ended(
        self, definition_id: str, start: int, end: int, most: int, *, known: int = 0
    ) -> list[tuple[str, int]]:
        """Runs that had begun and ended from `start` to `end` (ms), and when: the newest first.

        `known`: how many of those that ended at `end` itself are left out.
        """
        found = self._client.zrevrangebyscore(
            jobkeys.ends(definition_id), end, start, start=known, num=most, withscores=True
        )
        return [(name, int(at)) for name, at in found]

    def within(self, definition_id: str, start: int, end: int, most: int) -> list[str]:
        """Runs that went on at some moment from `start` to `end` (ms), those that ended last first.

        Neither those that ended before nor those that began later are looked at.
        """
        names = self.during(definition_id, end)
        names += [name for name, _ in self.ended(definition_id, start, end, most)]
        return list(dict.fromkeys(names))[:most]

    # Retries

    def take_retries(self, most: int) -> list[str]:
        """Failed runs whose retry is due; no other beat takes them for now."""
        return list(self._scripts.call("take_retries", most, LEASE_MS))

    def cancel_retry(self, execution_id: str, reason: str) -> bool:
        """A failed run that waits for its retry ends as cancelled; False when it does not wait."""
        return bool(self._scripts.call("cancel_retry", execution_id, reason))

    def drop_retry(self, execution_id: str, definition_id: str) -> None:
        """It is not tried again."""
        self._scripts.call("drop_retry", execution_id, definition_id)
