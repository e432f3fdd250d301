"""What running commands take of CPU and memory, looked at every ten seconds, a node's at once.

Podman is asked once for each turn, which process it is; the rest are files of the kernel's, and one
call to Redis for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from knify import errors, model
from knify.sandbox import base, cgroups
from knify.store.samples import Sample, Samples

SECONDS: Final = 10.0  # between two looks

Read: TypeAlias = Callable[[int, str], cgroups.Spent | None]


@dataclass(frozen=True, slots=True)
class _Seen:
    pid: int
    at: float  # monotonic
    cpu_ns: int


class Meter:
    """One worker's. Call it from its loop only."""

    def __init__(
        self,
        driver: base.Driver,
        samples: Samples,
        read: Read = cgroups.read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver, self._samples = driver, samples
        self._read, self._clock = read, clock
        self._seen: dict[str, _Seen] = {}

    async def look(self, turns: Iterable[tuple[model.Execution, str]]) -> list[Sample]:
        """What executions took since the look before, in these containers; none at the first."""
        before, self._seen, found = self._seen, {}, []
        for x, container in turns:
            seen = before.get(x.id) or await self._begin(container)
            spent = self._read(seen.pid, container) if seen else None
            if seen is None or spent is None:
                continue
            now = self._clock()
            self._seen[x.id] = _Seen(seen.pid, now, spent.cpu_ns)
            if x.id in before and now > seen.at:
                cpu = max(0.0, (spent.cpu_ns - seen.cpu_ns) / 1e9 / (now - seen.at))
                found.append(Sample(x.id, x.fence, cpu, spent.memory))
        return found

    def keep(self, found: list[Sample]) -> None:
        """Write them down; from any thread."""
        self._samples.add(found)

    async def _begin(self, container: str) -> _Seen | None:
        try:
            status = await self._driver.inspect(container)
        except errors.SandboxError:
            return None  # the next look asks again
        return _Seen(status.pid, self._clock(), 0) if status and status.pid else None
