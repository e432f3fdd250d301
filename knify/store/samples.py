"""What executions took of CPU and memory, in Redis until they are packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from knify.store import executionkeys, keys
from knify.store.redis import Client, Scripts

#: So many points an execution has; when there are more, each two become one.
MOST: Final = 720


@dataclass(frozen=True, slots=True)
class Sample:
    """What one execution took of late."""

    execution: str
    fence: int
    cpus: float  # cores
    memory: int  # bytes


@dataclass(frozen=True, slots=True)
class Point:
    """The same at a moment of the past."""

    ts: int  # ms
    cpus: float
    memory: int

    @classmethod
    def parse(cls, text: str) -> Point:
        """From what is stored: ms, thousandths of a core, bytes."""
        ts, cpus, memory = text.split()
        return cls(int(ts), int(cpus) / 1000, int(memory))


class Samples:
    """All that is known of it."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def add(self, samples: Sequence[Sample]) -> None:
        """In one call. Of what has ended, or is another worker's by now, nothing is kept."""
        flat = [
            word
            for one in samples
            for word in (one.execution, one.fence, round(one.cpus * 1000), one.memory)
        ]
        if flat:
            self._scripts.call("sample", MOST, *flat)

    def newest(self, execution_id: str) -> Point | None:
        """The last one, unless it has none or is packed."""
        text = self._client.lindex(executionkeys.metrics(execution_id), -1)
        return None if text is None else Point.parse(text)

    def of(self, ids: Sequence[str]) -> list[tuple[list[str], bool]]:
        """For each: its points as they are stored, and whether its packed record has them."""
        pipe = self._client.pipeline(transaction=False)
        for execution_id in ids:
            pipe.lrange(executionkeys.metrics(execution_id), 0, -1)
            pipe.hexists(keys.execution(execution_id), "row")
        found = pipe.execute() if ids else []
        return list(zip(found[::2], found[1::2], strict=True))
