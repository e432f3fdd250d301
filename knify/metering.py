"""What running commands take of CPU and memory, looked at every ten seconds from their start on.

What a command took is counted from the first second on to its end, so that the points of a run
cover all of it: a short one has a point, too, and the mean of a long one is what its cgroup counts.
Podman is asked once for each turn, which process it is; the rest are files of the kernel's, and one
call to Redis for all of a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from knify import errors, model
from knify.sandbox import base, cgroups
from knify.store.samples import Sample, Samples

SECONDS: Final = 10.0  # between two looks at one
TICK: Final = 1.0  # between two looks at what is new
_LEAST: Final = 0.5  # seconds that a last look is worth a point

Read: TypeAlias = Callable[[int, str], cgroups.Spent | None]


@dataclass(frozen=True, slots=True)
class _Seen:
    pid: int
    at: float  # monotonic
    spent: cgroups.Spent


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
        """What executions took in these containers since they were looked at ten seconds ago.

        Those that are new are noted. To be called once a second.
        """
        before, self._seen, found = self._seen, {}, []
        for x, container in turns:
            seen = before.get(x.id)
            if seen is not None and self._clock() - seen.at < SECONDS - TICK / 2:
                self._seen[x.id] = seen
                continue
            new = self._spent(seen.pid if seen else await self._pid(container), container)
            if new is None:
                continue
            self._seen[x.id] = new
            if seen is not None:
                found.append(_sample(x, seen, new, new.spent.memory))
        return found

    def last(self, x: model.Execution, container: str) -> list[Sample]:
        """What it took since the look before, when its command has just ended.

        Its memory is free again by now, so it is what it was.
        """
        seen = self._seen.pop(x.id, None)
        new = self._spent(seen.pid, container) if seen else None
        if seen is None or new is None or new.at - seen.at < _LEAST:
            return []
        return [_sample(x, seen, new, max(seen.spent.memory, new.spent.memory))]

    def keep(self, found: list[Sample]) -> None:
        """Write them down; from any thread."""
        self._samples.add(found)

    def _spent(self, pid: int, container: str) -> _Seen | None:
        spent = self._read(pid, container) if pid else None
        return None if spent is None else _Seen(pid, self._clock(), spent)

    async def _pid(self, container: str) -> int:
        try:
            status = await self._driver.inspect(container)
        except errors.SandboxError:
            return 0  # the next look asks again
        return status.pid or 0 if status else 0


def _sample(x: model.Execution, seen: _Seen, new: _Seen, memory: int) -> Sample:
    cpu = max(0.0, (new.spent.cpu_ns - seen.spent.cpu_ns) / 1e9 / (new.at - seen.at))
    return Sample(x.id, x.fence, cpu, memory)
