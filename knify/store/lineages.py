"""Which executions a sandbox had, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from knify import ids
from knify.store import keys
from knify.store.redis import Client


@dataclass(frozen=True, slots=True)
class Uses:
    """How a sandbox was used so far."""

    executions: int  # that are there, whatever their state
    first: str | None  # the one that it was made for; it may be gone, or have come before this was
    is_doomed: bool  # it goes with its last turn


class Lineages:
    """Those of any sandbox."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def uses(self, sandbox_ids: Iterable[str]) -> list[Uses]:
        """How each was used, in one round trip."""
        names = list(sandbox_ids)
        pipe = self._client.pipeline(transaction=False)
        for sandbox_id in names:
            pipe.hmget(keys.sandbox(sandbox_id), "executions", "first", "doomed")
        return [
            Uses(int(count or 0), _first(sandbox_id, first), bool(doomed))
            for sandbox_id, (count, first, doomed) in zip(names, pipe.execute(), strict=True)
        ]

    def jobs(self, sandbox_id: str, *, most: int) -> list[str]:
        """The newest of its executions, oldest first; those of before this was kept are missing."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hget(keys.sandbox(sandbox_id), "first")
        pipe.lrange(keys.continuations(sandbox_id), -most, -1)
        told, found = pipe.execute()
        first = _first(sandbox_id, told)
        return ([first] if first else [])[: most - len(found)] + list(found)


def _first(sandbox_id: str, told: str | None) -> str | None:
    """What it was made for; of one with the same digits the prefix is told, '' for `job`."""
    return told if told is None or "_" in told else ids.paired(told or "job", sandbox_id)
