"""`timeline.png`: the rows of each source over time, one line above the other."""

from __future__ import annotations

import contextlib
import importlib
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MAX_LINES = 20  # sources that are drawn


def warm() -> None:
    """Load what draws, which takes a second, while sources are still being read."""

    def load() -> None:
        with contextlib.suppress(Exception):  # `draw` finds out, too, and says so
            importlib.import_module("matplotlib.pyplot")

    threading.Thread(target=load).start()  # the program waits for it at its end


def draw(result: dict[str, Any], step: int, path: Path) -> bool:
    """Draw it; False when there is nothing to draw, or nothing to draw with."""
    shown = [f for f in result["sources"] if f["status"] == "ok" and f["rows"]][:_MAX_LINES]
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    if not shown:
        return False
    start, end = (datetime.fromisoformat(result["time_range"][at]) for at in ("from", "to"))
    figure, lines = pyplot.subplots(
        len(shown), 1, sharex=True, squeeze=False, figsize=(10, 1.2 + 1.3 * len(shown))
    )
    days = step / 86_400_000
    for axes, found in zip(lines[:, 0], shown, strict=True):
        at = [datetime.fromisoformat(part["from"]) for part in found["timeline"]]
        axes.bar(at, [part["rows"] for part in found["timeline"]], width=days, align="edge")
        axes.set_ylabel(found["name"][:24], rotation=0, ha="right", va="center", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(max(start, _FIRST), min(end, _LAST))
        for gap in (a for a in found["anomalies"] if a["kind"] == "gap"):
            ends = (datetime.fromisoformat(gap[at]) for at in ("from", "to"))
            axes.axvspan(*ends, color="orange", alpha=0.15)
    figure.autofmt_xdate()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


#: What matplotlib's calendar can draw, with some room.
_FIRST, _LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)
