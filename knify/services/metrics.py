"""CPU and memory of runs within a window of time, as series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
_STEP: Final = 10_000  # ms; runs are looked at so often, and when they end

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
    found = _pieces(core, xs, start, end, aside)
    times = [at for pieces in found for one in pieces for at in (one.start, one.end)]
    span = max(times) - min(times) if times else 0
    step = max(1, -(-span // (_POINTS * _STEP))) * _STEP
    cells: dict[int, list[tuple[float, float]]] = {}
    for pieces in found:
        for at, mean in _means(pieces, step).items():
            cells.setdefault(at, []).append(mean)
    moments = sorted(cells)
    return {
        "cpu_usage": [(at, sum(c for c, _ in cells[at]) / len(cells[at])) for at in moments],
        "memory_usage": [(at, round(sum(m for _, m in cells[at]))) for at in moments],
    }


@dataclass(frozen=True, slots=True)
class _Piece:
    """A time for which a run's figures hold, ms."""

    start: int
    end: int
    cpus: float
    memory: int


def _means(pieces: Sequence[_Piece], step: int) -> dict[int, tuple[float, float]]:
    """What a run took in each step in which it was looked at: cores and bytes while it was."""
    sums: dict[int, list[float]] = {}
    for one in pieces:
        for at in range(one.start // step * step, one.end, step):
            part = min(one.end, at + step) - max(one.start, at)
            known = sums.setdefault(at, [0.0, 0.0, 0.0])
            for n, value in enumerate((part, one.cpus * part, one.memory * part)):
                known[n] += value
    return {at: (cpus / part, memory / part) for at, (part, cpus, memory) in sums.items()}


def _pieces(
    core: Core, xs: Sequence[model.Execution], start: int, end: int, aside: Aside
) -> list[list[_Piece]]:
    found = []
    for x, (texts, packed) in zip(xs, core.store.samples.of([x.id for x in xs]), strict=True):
        known = history.record(core, x.id, aside=aside).metrics if packed else texts
        began, pieces = x.started_at or x.created_at, []
        for point in map(Point.parse, known):
            since = max(start, min(began, point.ts - 1))
            if start < point.ts <= end:
                pieces.append(_Piece(since, point.ts, point.cpus, point.memory))
            began = point.ts
        found.append(pieces)
    return found
