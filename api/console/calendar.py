"""A month of a schedule: what was run on each of its days, and what is due on those to come.

However many runs there are, a day shows a few of them and says how many more: of each, only these
are read, and only so many due times are looked for.
"""

from __future__ import annotations

import calendar
import itertools
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from api.projects import view
from knify import model
from knify.core import Core
from knify.definitions import Definition
from knify.services import history

PER_DAY: Final = 5  # marks of one day
_YEARS: Final = range(2000, 2101)


@dataclass(frozen=True, slots=True)
class Mark:
    """A run, or a due time to come."""

    at: int  # ms
    time: str  # by the schedule's clock
    status: str  # of a run; `next` of what is to come
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the month, in the schedule's time zone."""

    date: date
    is_today: bool
    marks: list[Mark]  # oldest first
    runs: int = 0  # that were made
    is_cut: bool = False  # more times are due than are shown

    @property
    def hidden(self) -> int:
        """How many of its runs have no mark."""
        return self.runs - sum(mark.run_id is not None for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Month:
    """A month with its days."""

    first: date
    days: list[Day]

    @property
    def weeks(self) -> list[list[Day | None]]:
        """From Monday to Sunday; None for days of other months."""
        cells = [*[None] * self.first.weekday(), *self.days]
        cells += [None] * (-len(cells) % 7)
        return [cells[n : n + 7] for n in range(0, len(cells), 7)]

    @property
    def before(self) -> str:
        """The month before, as a query has it."""
        return f"{self.first - timedelta(days=1):%Y-%m}"

    @property
    def after(self) -> str:
        """The month behind."""
        return f"{self.first + timedelta(days=31):%Y-%m}"


def month(
    core: Core, d: Definition, wanted: str, now: int, *, aside: history.Aside = history.here
) -> Month:
    """The month of `YYYY-MM`, or the one that it is (`now` in ms); `aside` looks for due times."""
    zone = zoneinfo.ZoneInfo(d.timezone)
    today = datetime.fromtimestamp(now / 1000, zone).date()
    first = _first(wanted) or today.replace(day=1)
    dates = [
        first.replace(day=n + 1) for n in range(calendar.monthrange(first.year, first.month)[1])
    ]
    starts = [_start(day, zone) for day in [*dates, dates[-1] + timedelta(days=1)]]
    windows = list(itertools.pairwise(starts))
    made = _made(core, d, windows, zone)
    due = aside(lambda: _due(d, windows, now, zone))
    days = [
        _day(day, day == today, *past, coming)
        for day, past, coming in zip(dates, made, due, strict=True)
    ]
    return Month(first, days)


def _first(text: str) -> date | None:
    year, _, number = text.partition("-")
    if not (text.isascii() and year.isdecimal() and number.isdecimal() and len(text) == 7):
        return None
    return date(int(year), int(number), 1) if int(year) in _YEARS and 0 < int(number) < 13 else None


def _start(day: date, zone: zoneinfo.ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


def _day(day: date, is_today: bool, past: list[Mark], runs: int, coming: list[Mark]) -> Day:
    return Day(day, is_today, [*past, *coming[:PER_DAY]], runs, len(coming) > PER_DAY)


def _made(
    core: Core, d: Definition, windows: Sequence[tuple[int, int]], zone: zoneinfo.ZoneInfo
) -> list[tuple[list[Mark], int]]:
    """Of each day, the newest runs, oldest first, and how many there are."""
    found = core.store.runs.made(d.id, windows, PER_DAY)
    names = [name for ids, _ in found for name in ids]
    known = {x.id: x for x in core.store.listing.records(names)}
    return [
        ([_run(known[name], zone) for name in reversed(ids) if name in known], count)
        for ids, count in found
    ]


def _run(x: model.Execution, zone: zoneinfo.ZoneInfo) -> Mark:
    return Mark(x.created_at, _clock(x.created_at, zone), view.STATUS[x.state], x.id)


def _due(
    d: Definition, windows: Sequence[tuple[int, int]], now: int, zone: zoneinfo.ZoneInfo
) -> list[list[Mark]]:
    """Of each day, the first times that are due, at most one more than are shown."""
    found: list[list[Mark]] = [[] for _ in windows]
    due = d.cron
    if due is None or d.next_at is None:
        return found
    at: int | None = d.next_at
    for (start, end), marks in zip(windows, found, strict=True):
        if at is not None and at < start:
            at = due.after(start - 1)
        while at is not None and at < end and len(marks) <= PER_DAY:
            moment = d.score(at) or at
            if moment >= now:
                marks.append(Mark(moment, _clock(moment, zone), "next"))
            at = due.after(at)
    return found


def _clock(ms: int, zone: zoneinfo.ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, zone):%H:%M}"
