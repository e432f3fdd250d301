"""Plots as pages have them: what the browser draws, and the same in words and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.console import shown

MOST_ROWS: Final = 60  # of a table: each stands for as many points as it takes
Points = Sequence[tuple[int, float]]


def _cores(value: float) -> str:
    return f"{value:.3g} {'core' if value == 1 else 'cores'}"


def _percent(value: float) -> str:
    return f"{value:.3g} %"


#: How values are written; the names are those of `web/src/plot.ts`.
UNITS: Final[dict[str, Callable[[float], str]]] = {
    "bytes": lambda value: shown.size(round(value)),
    "cores": _cores,
    "count": shown.count,
    "percent": _percent,
    "seconds": shown.duration,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """Time series of one unit within a window."""

    title: str
    unit: str  # of UNITS
    series: Mapping[str, Points]  # by name: (ms, value), oldest first
    start: int  # ms
    end: int
    gap: int | None = None  # ms; points further apart are not joined

    @property
    def data(self) -> dict[str, Any]:
        """As `plot.ts` takes it."""
        found = [{"name": name, "points": list(points)} for name, points in self.series.items()]
        window = {"start": self.start, "end": self.end}
        return {"series": found, "unit": self.unit, **window, "gap": self.gap or 0}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be drawn."""
        return not any(self.series.values())

    @property
    def summary(self) -> str:
        """What one sees at a glance."""
        return " · ".join(self._said(name) for name, points in self.series.items() if points)

    @property
    def rows(self) -> list[tuple[int, list[str]]]:
        """A table's: the moment, and the value of each series, newest first; of many, some."""
        found: dict[int, dict[str, float]] = {}
        for name, points in self.series.items():
            for at, value in points:
                found.setdefault(at, {})[name] = value
        moments = sorted(found, reverse=True)
        kept = moments[:: -(-len(moments) // MOST_ROWS) or 1]
        return [(at, [self._word(found[at].get(name)) for name in self.series]) for at in kept]

    def _said(self, name: str) -> str:
        values = [value for _, value in self.series[name]]
        words = UNITS[self.unit]
        prefix = f"{name}: " if len(self.series) > 1 else ""
        mean = words(sum(values) / len(values))
        return f"{prefix}{mean} on average, {words(max(values))} at most"

    def _word(self, value: float | None) -> str:
        return shown.NONE if value is None else UNITS[self.unit](value)
