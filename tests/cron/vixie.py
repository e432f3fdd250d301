"""Vixie cron as its `cron.c` works: a daemon that wakes each minute and looks at the wall."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Entry:
    """A line of a crontab: sets of numbers, and which of its fields begin with a star."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_wild: bool  # minute or hour
    both_days: bool  # day or weekday has a star: both have to match

    @classmethod
    def of(cls, expression: str) -> Entry:
        fields = expression.split()
        sets = [_numbers(f, *span) for f, span in zip(fields, _RANGES, strict=True)]
        stars = [f.startswith("*") for f in fields]
        return cls(*sets, stars[0] or stars[1], stars[2] or stars[4])

    def matches(self, minute: int) -> bool:
        """`minute`: of the wall, since 1970."""
        if minute % 60 not in self.minutes or minute // 60 % 24 not in self.hours:
            return False
        wall = _EPOCH + timedelta(minutes=minute)
        day = wall.day in self.days
        weekday = wall.isoweekday() % 7 in self.weekdays or (
            wall.isoweekday() == 7 and 7 in self.weekdays
        )
        is_day = day and weekday if self.both_days else day or weekday
        return wall.month in self.months and is_day


def runs(expressions: list[str], zone: str, first: datetime, last: datetime) -> list[set[int]]:
    """Minutes since 1970 (UTC) in which such a daemon runs each of them, behind `first`."""
    entries = [Entry.of(e) for e in expressions]
    found: list[set[int]] = [set() for _ in entries]
    for now, wall, wild, plain in _looks(zone, first, last):
        for entry, times in zip(entries, found, strict=True):
            if (wild if entry.is_wild else plain) and entry.matches(wall):
                times.add(now)
    return found


def _looks(zone: str, first: datetime, last: datetime) -> Iterator[tuple[int, int, bool, bool]]:
    """(now, the minute of the wall to be looked for, look for wild ones, look for others)."""
    clock = zoneinfo.ZoneInfo(zone)
    start, end = (int(t.replace(tzinfo=UTC).timestamp()) // 60 for t in (first, last))
    offset, until = 0, start
    virtual: int | None = None
    for now in range(start, end + 1):
        if now >= until:  # all changes come at a quarter of an hour
            delta = datetime.fromtimestamp(now * 60, clock).utcoffset()
            assert delta is not None
            offset, until = int(delta.total_seconds()) // 60, now - now % 15 + 15
        running = now + offset
        if virtual is None:
            virtual = running
            continue
        ahead = running - virtual
        if ahead == 1:
            virtual = running
            yield now, running, True, True
        elif 1 < ahead <= 5:
            while virtual < running:
                virtual += 1
                yield now, virtual, True, True
        elif 5 < ahead <= 180:
            yield now, running, True, False
            while virtual < running:
                virtual += 1
                yield now, virtual, False, True
        elif -180 < ahead <= 0:
            yield now, running, True, False
        else:
            virtual = running
            yield now, running, True, True


def _numbers(field: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            begin, end = low, high
        else:
            one, _, other = span.partition("-")
            begin, end = int(one), int(other or one)
            end = high if step and not other else end
        found |= set(range(begin, end + 1, int(step or 1)))
    return frozenset(found)
