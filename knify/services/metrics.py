"""CPU and memory of runs within a window of time, as series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from knify import model
from knify.core import Core
from knify.services import history
from knify.services.history import Aside
from knify.store.samples import Point

#: What there is, and what it is of all runs of a moment.
NAMES: Final = ("cpu_usage", "memory_usage")
RUNS: Final = 200  # that one call looks at, the newest
_POINTS: Final = 500  # of one series, about
_STEP: Final = 10_000  # ms; runs are looked at so often

Series = list[tuple[int, float]]


def series(
    core: Core,
    xs: Sequence[model.Execution],
    start: int,
    end: int,
    *,
    aside: Aside = history.here,
) -> dict[str, Series]:
    """(ms, value) of each name: cores, on average of the runs; bytes, of all together.

    ObjectStoreError.
    """
    found = _points(core, xs, start, end, aside)
    times = [one.ts for points in found for one in points]
    span = max(times) - min(times) if times else 0
    step = max(1, -(-span // (_POINTS * _STEP))) * _STEP
    cells: dict[int, list[tuple[float, float]]] = {}
    for points in found:
        own: dict[int, list[Point]] = {}
        for point in points:
            own.setdefault(point.ts // step * step, []).append(point)
        for at, some in own.items():
            cpus = sum(one.cpus for one in some) / len(some)
            memory = sum(one.memory for one in some) / len(some)
            cells.setdefault(at, []).append((cpus, memory))
    moments = sorted(cells)
    return {
        "cpu_usage": [(at, sum(c for c, _ in cells[at]) / len(cells[at])) for at in moments],
        "memory_usage": [(at, round(sum(m for _, m in cells[at]))) for at in moments],
    }


def _points(
    core: Core, xs: Sequence[model.Execution], start: int, end: int, aside: Aside
) -> list[list[Point]]:
    found = []
    for x, (texts, packed) in zip(xs, core.store.samples.of([x.id for x in xs]), strict=True):
        known = history.record(core, x.id, aside=aside).metrics if packed else texts
        points = [Point.parse(text) for text in known]
        found.append([one for one in points if start <= one.ts <= end])
    return found
