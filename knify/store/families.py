"""Children of tasks in Redis; `lua/family.lua` moves them."""

from __future__ import annotations

from collections.abc import Iterable

from knify import model
from knify.store import executionkeys, keys
from knify.store.redis import Client, Scripts


class Families:
    """Who is open below a task, and whose children are to be cancelled."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def open(self, parent: str, most: int) -> list[str]:
        """Its oldest children that have not ended."""
        found: list[str] = self._client.zrange(executionkeys.open_children(parent), 0, most - 1)
        return found

    def count_open(self, parent: str) -> int:
        """How many there are."""
        return int(self._client.zcard(executionkeys.open_children(parent)))

    def park(self, x: model.Execution, detail: str) -> list[str] | None:
        """Give lease and slot back until its last child has ended: executions worth a hint.

        None when no child is open: it may end. Raises LeaseLost, IllegalTransition.
        """
        verdict, *hints = self._scripts.call("park", x.id, x.fence, detail)
        return None if verdict == "over" else hints

    def disbanding(self, most: int) -> list[str]:
        """Parents whose children are to be cancelled, the longest waiting first."""
        found: list[str] = self._client.zrange(keys.DISBANDING, 0, most - 1)
        return found

    def disbanded(self, parent: str) -> None:
        """Each of them has been asked."""
        self._client.zrem(keys.DISBANDING, parent)

    def names(self, parents: Iterable[str]) -> dict[str, str]:
        """What these executions are called as tasks, as far as they are there; one round trip."""
        wanted = sorted(set(parents))
        pipe = self._client.pipeline(transaction=False)
        for parent in wanted:
            pipe.hget(keys.execution(parent), "task_id")
        answers = pipe.execute() if wanted else []
        return {parent: name for parent, name in zip(wanted, answers, strict=True) if name}
