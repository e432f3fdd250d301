"""When a cron expression is due: five fields, a time zone, and its changes as Vixie cron has them.

Sources: crontab(5) of Debian's cron, and its `cron.c`. An expression whose minute or hour begins
with a star follows the clock on the wall: it is due at every minute that shows a matching time, in
both of two doubled hours and in none that is skipped. Any other is due once for each matching
time: in doubled hours the first time only; what is skipped, right after the gap, unless that is
longer than three hours. `cronsim` walks over a clock without zone; the zone is ours, since a zone
may move by half an hour.
"""

from __future__ import annotations

import copy
import difflib
import functools
import itertools
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import cronsim

MINUTE_MS: Final = 60_000
MAX_LENGTH: Final = 200  # characters of an expression
#: How far ahead a time is looked for, which bounds what a search costs. The 29th of February is
#: eight years away at most; what is due more seldom is not a schedule.
HORIZON: Final = 8
_FIELDS: Final = {"minute": 60, "hour": 24, "day": 31, "month": 12, "weekday": 7}  # and their spans
_FOREIGN: Final = re.compile(r"[^\S\t ]")  # blanks that are none in a crontab
_STEP: Final = re.compile(r"/([0-9]+)")
_MACROS: Final = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}  # fmt: skip
_LONGEST_GAP: Final = 3 * 3600.0  # seconds; what a longer one skipped never comes
_NEAR: Final = 26 * 3600.0  # no zone jumps further than from one end of the date line to the other
_NO_TIME: Final = timedelta()
_SAMPLE: Final = 1_500  # due times among which the shortest way is looked for: a day has 1,440
_SPAN_MS: Final = 366 * 86_400_000  # within which they lie
_FAR: Final = 253_402_000_000.0  # seconds: the last days that a calendar can say
_LOOK_BACK: Final = (3600, 86_400, 32 * 86_400, 366 * 86_400, 2**36)  # seconds


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked expression in its zone; `parse` makes it."""

    expression: str
    zone: str

    def after(self, ms: int) -> int | None:
        """The next due time behind this moment, both ms since the epoch; None: not in `HORIZON`."""
        return _after(self.expression, self.zone, ms // 1000)

    def due(self, first: int, until: int) -> Iterator[int]:
        """All due times from `first` on (which is one) up to `until`, oldest first."""
        at: int | None = first
        while at is not None and at <= until:
            yield at
            at = self.after(at)

    def newest(self, first: int, until: int, most: int) -> list[int]:
        """The last `most` due times from `first` on (which is one) up to `until`, oldest first.

        They are looked for from behind, so it does not matter how long ago `first` was.
        """
        for seconds in _LOOK_BACK:
            start = until - seconds * 1000
            at = first if start <= first else self.after(start - 1)
            found = [] if at is None else list(self.due(at, until))
            if start <= first or len(found) >= most:
                break
        return found[-most:]

    def latest(self, first: int, until: int) -> int:
        """The last of them."""
        return self.newest(first, until, 1)[0]

    def shortest_ms(self, ms: int) -> int:
        """The shortest time between two of the next due times; a day's whole pattern is seen."""
        first = self.after(ms) or ms
        times = list(itertools.islice(self.due(first, first + _SPAN_MS), _SAMPLE))
        return min((b - a for a, b in itertools.pairwise(times)), default=2**62)


def parse(expression: str, zone: str) -> Cron:
    """The expression, one space between its fields. ValueError says what is wrong with it."""
    fields = expression.split()
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    if _FOREIGN.search(expression):
        raise ValueError("has another blank than a space: write spaces between its fields")
    if expression.strip().startswith("@"):
        raise ValueError(_of_macro(expression.strip()))
    if len(fields) != 5:
        cure = "leave out the seconds" if len(fields) == 6 else "such as 30 4 * * 1-5"
        raise ValueError(
            f"has {len(fields)} fields; there are five, minute hour day month weekday: {cure}"
        )
    _check_steps(fields)
    made = Cron(" ".join(fields), zone)
    try:
        is_ever = cronsim.CronSim(made.expression, datetime(2024, 1, 1)).__next__()
    except cronsim.CronSimError as wrong:
        raise ValueError(_complaint(str(wrong))) from wrong
    except StopIteration:
        is_ever = None
    if is_ever is None:
        raise ValueError("is never due: no month has such a day")
    return made


def check_zone(name: str) -> str:
    """A zone of the IANA database. ValueError, with the nearest known name."""
    if name in _zones():
        return name
    near = difflib.get_close_matches(name[:64], _zones(), n=1)
    raise ValueError(f"no time zone {name[:64]!r}: " + (
        f"did you mean {near[0]}?" if near else "write one such as UTC or Europe/Berlin"
    ))  # fmt: skip


@functools.lru_cache(1024)
def sentence(expression: str) -> str:
    """What the expression says, in English."""
    import cron_descriptor  # it takes a while, and only answers to people need it

    try:
        options = cron_descriptor.Options()
        options.use_24hour_time_format = True
        return str(cron_descriptor.get_description(expression, options))
    except Exception:  # a sentence that cannot be made must not keep the answer
        return expression


def _check_steps(fields: list[str]) -> None:
    for text, (name, span) in zip(fields, _FIELDS.items(), strict=True):
        if any(len(step) > 4 or int(step) > span for step in _STEP.findall(text)):
            raise ValueError(f"has a bad {name}: its steps are 1 to {span}")


def _of_macro(text: str) -> str:
    fields = _MACROS.get(text.lower())
    if fields:
        return f"has to be five fields: instead of {text} write {fields}"
    return "has to be five fields, minute hour day month weekday; nothing is due at a reboot here"


def _complaint(words: str) -> str:
    if "day-of-month" in words:
        return "has a day that no such month has, or none at all: its third field is the day, 1-31"
    names = {"minute": "0-59", "hour": "0-23", "month": "1-12", "day-of-week": "0-7 or SUN-SAT"}
    for name, span in names.items():
        if name in words:
            return f"has a bad {name}: write {span}, a list, a range or */n"
    return words


@functools.lru_cache(1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})


@functools.lru_cache(4096)
def _after(expression: str, zone: str, second: int) -> int | None:
    """By whole seconds; cached, since many schedules are alike and due together."""
    if not -62_000_000_000 < second < _FAR:
        return None
    clock = zoneinfo.ZoneInfo(zone)
    find = _wild if _is_wild(expression) else _once
    found = find(expression, clock, float(second))
    return None if found is None else int(found) * 1000


def _is_wild(expression: str) -> bool:
    minute, hour, *_ = expression.split()
    return minute.startswith("*") or hour.startswith("*")


def _once(expression: str, clock: zoneinfo.ZoneInfo, second: float) -> float | None:
    """Moments grow with the times on the wall, so the first one behind is the next."""
    for wall in _walls(expression, _wall(second, clock)):
        first, again = _moments(wall, clock)
        if first > again:  # skipped
            if first - again > _LONGEST_GAP:
                continue
            first = _change(again, first, clock)
        if first > second:
            return first
    return None


def _wild(expression: str, clock: zoneinfo.ZoneInfo, second: float) -> float | None:
    """Before the wall's clock is put back, times that it has shown will come once more."""
    here, soon = (_at(at, clock).utcoffset() or _NO_TIME for at in (second, second + _NEAR))
    best: float | None = None
    for wall in _walls(expression, _wall(second, clock) - max(here - soon, _NO_TIME)):
        first, again = _moments(wall, clock)
        if best is not None and first >= best:
            return best
        if first <= again:
            known = [at for at in (first, again, best) if at is not None and at > second]
            best = min(known, default=None)
    return best


class _Walk(cronsim.CronSim):
    """Ends at the horizon; of itself it goes on for half a century."""

    last_year = 0

    def advance_month(self) -> None:
        super().advance_month()
        if self.dt.year > self.last_year:
            raise StopIteration


def _walls(expression: str, behind: datetime) -> Iterator[datetime]:
    walk = copy.copy(_parsed(expression))
    walk.dt = behind.replace(microsecond=0)
    walk.last_year = behind.year + HORIZON
    return iter(walk)


@functools.lru_cache(4096)
def _parsed(expression: str) -> _Walk:
    return _Walk(expression, datetime(2024, 1, 1))


def _at(second: float, clock: zoneinfo.ZoneInfo) -> datetime:
    return datetime.fromtimestamp(second, clock)


def _wall(second: float, clock: zoneinfo.ZoneInfo) -> datetime:
    return _at(second, clock).replace(tzinfo=None, fold=0)


def _moments(wall: datetime, clock: zoneinfo.ZoneInfo) -> tuple[float, float]:
    """When the wall shows it: twice the same; the later one first where it is skipped."""
    here = wall.replace(tzinfo=clock)
    return here.timestamp(), here.replace(fold=1).timestamp()


def _change(low: float, high: float, clock: zoneinfo.ZoneInfo) -> float:
    """The first whole second between these at which the zone is another."""
    old, before, behind = clock.utcoffset(_at(low, clock)), int(low), int(high)
    while behind - before > 1:
        middle = (before + behind) // 2
        if clock.utcoffset(_at(middle, clock)) == old:
            before = middle
        else:
            behind = middle
    return float(behind)
