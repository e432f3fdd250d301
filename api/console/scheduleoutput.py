"""What a schedule's runs printed, and what they took, within a window of time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import flask

from api import aside, context
from api.console import blueprint, plots, schedules
from knify import errors
from knify.definitions import Definition
from knify.services import lines, metrics

#: Windows up to now: their names in a query, what they are called, and how long they are, ms.
WINDOWS: Final = {
    "1h": ("Last hour", 3_600_000),
    "24h": ("Last 24 hours", 86_400_000),
    "7d": ("Last 7 days", 7 * 86_400_000),
    "30d": ("Last 30 days", 30 * 86_400_000),
}
LIMITS: Final = (100, 200, 500, 1_000)
MOST_SHOWN: Final = 2_000  # characters of one line
_STEP: Final = 10_000  # ms between two looks at a run
_CODES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of both pages; what makes no sense in it is left out."""

    last: str = "24h"
    start: int | None = None  # ms, inclusive, instead of `last`
    end: int | None = None
    words: str = ""  # what lines must hold
    limit: int = 200
    before: int | None = None  # only what is as old or older, ms: where an earlier answer ended

    def url(self, path: str, **changes: Any) -> str:
        """The same page with these changes."""
        found = {"last": self.last, "start": _spelled(self.start), "end": _spelled(self.end)}
        found |= {"filter": self.words, "limit": str(self.limit)} | changes
        return f"{path}?{urlencode({name: value for name, value in found.items() if value})}"

    def times(self, now: int) -> tuple[int, int]:
        """The window, ms."""
        end = self.end if self.end is not None else now
        start = self.start if self.start is not None else end - WINDOWS[self.last][1]
        return start, end


def read(query: Mapping[str, str]) -> Asked:
    """From the query of the address."""
    limit, last, before = query.get("limit", ""), query.get("last", ""), query.get("before", "")
    return Asked(
        last=last if last in WINDOWS else "24h",
        start=_moment(query.get("start", "")),
        end=_moment(query.get("end", "")),
        words=query.get("filter", ""),
        limit=int(limit) if limit in map(str, LIMITS) else 200,
        before=int(before) if re.fullmatch(r"[0-9]{1,15}", before) else None,
    )


@blueprint.page("/schedules/<project>/<definition_id>/logs")
def get_schedule_logs(project: str, definition_id: str) -> flask.Response:
    """The newest lines of all runs within the window."""
    d, asked = schedules.find(project, definition_id), read(flask.request.args)
    now = context.core().store.registry.now_ms()
    start, end = asked.times(now)
    found, problems = lines.Found([], None), dict[str, str]()
    if start > end:
        problems["end"] = "Lies before the window's start."
    else:
        found, problems = _lines(d, asked, start, min(end, asked.before or end))
    shown = [(one, *_visible(one.text)) for one in found.lines]
    return schedules.show(
        "schedule_logs.html",
        d,
        400 if problems else 200,
        asked=asked,
        lines=shown,
        next_end=found.next_end,
        problems=problems,
        windows=WINDOWS,
        limits=LIMITS,
        start_text=_spelled(asked.start),
        end_text=_spelled(asked.end),
    )


@blueprint.page("/schedules/<project>/<definition_id>/resources")
def get_schedule_resources(project: str, definition_id: str) -> flask.Response:
    """CPU and memory within the window."""
    core, d = context.core(), schedules.find(project, definition_id)
    asked = read(flask.request.args)
    start, end = Asked(asked.last).times(core.store.registry.now_ms())
    names = core.store.runs.within(d.id, start, end, metrics.RUNS)
    xs, read_ = core.store.listing.records(names), aside.reader(d.tenant)
    found = metrics.series(core, xs, start, end, aside=read_)
    drawn = [
        _plot("CPU, on average of the runs", "cores", found["cpu_usage"], start, end),
        _plot("Memory, of all runs together", "bytes", found["memory_usage"], start, end),
    ]
    return schedules.show(
        "schedule_resources.html", d, asked=asked, plots=drawn, windows=WINDOWS,
        is_cut=len(names) == metrics.RUNS, most=metrics.RUNS,
    )  # fmt: skip


def _lines(d: Definition, asked: Asked, start: int, end: int) -> tuple[lines.Found, dict[str, str]]:
    try:
        matches = lines.matcher(asked.words) if asked.words else None
    except errors.BadRequest as wrong:
        return lines.Found([], None), {"filter": wrong.message}
    window = lines.Window(start, end, asked.limit, matches)
    return lines.across(context.core(), d.id, window, aside=aside.reader(d.tenant)), {}


def _plot(title: str, unit: str, points: Sequence[tuple[int, float]], start: int, end: int) -> Any:
    apart = min((b[0] - a[0] for a, b in itertools.pairwise(points)), default=_STEP)
    name = title.partition(",")[0]
    return plots.Plot(title, unit, {name: points}, start, end, gap=3 * max(apart, _STEP))


def _visible(text: str) -> tuple[str, int]:
    """A line without what only terminals understand, cut; and how many characters are missing."""
    plain = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", _CODES.sub("", text[: 4 * MOST_SHOWN]))
    return plain[:MOST_SHOWN], max(0, len(text) - MOST_SHOWN) if len(plain) > MOST_SHOWN else 0


def _moment(text: str) -> int | None:
    """Of `2026-01-31T10:00`, by UTC, as a browser writes it."""
    try:
        at = datetime.fromisoformat(text[:40])
        utc = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        return int(utc.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _spelled(ms: int | None) -> str:
    return "" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M}"
