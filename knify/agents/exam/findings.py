"""What a source's rows show: first, last, a timeline, and what is out of the ordinary."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

from knify.agents.exam import source, times

_HOUR = 3_600_000
_DAY = 24 * _HOUR
#: Widths of a timeline's steps, ms; the first that makes at most _STEPS of the range is taken.
_WIDTHS = (
    *(1_000, 5_000, 15_000, 60_000, 300_000, 900_000, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY, 365 * _DAY),
)
_STEPS = 62
_GAPS = 3  # at most, the longest ones
_GAP = 5  # times the usual pause, and at least an hour
_BURST = 4  # standard deviations above the mean, and at least _FEW rows
_FEW = 10
_LABELS = 10


def width(wanted: source.Wanted) -> int:
    """Milliseconds of one step of all timelines."""
    span = wanted.end - wanted.start
    return next((w for w in _WIDTHS if span / w <= _STEPS), -(-span // _STEPS))


def of(rows: source.Rows, step: int) -> dict[str, Any]:
    """All of it, as `result.json` shows it."""
    moments = sorted(rows.times)
    line = _timeline(moments, step)
    shown: dict[str, Any] = {
        "status": "ok",
        "rows": len(moments),
        "first": times.text(moments[0]) if moments else None,
        "last": times.text(moments[-1]) if moments else None,
        "outside_range": rows.outside,
        "anomalies": [*_faults(rows), *_gaps(moments), *_bursts(line)],
        "timeline": [{"from": times.text(at), "rows": count} for at, count in line],
    }
    if rows.labels:
        shown["labels"] = dict(rows.labels.most_common(_LABELS))
    return shown


def _timeline(moments: list[int], step: int) -> list[tuple[int, int]]:
    """The begin of each step in which there are rows, and how many."""
    counts: dict[int, int] = {}
    for at in moments:
        begin = at - at % step
        counts[begin] = counts.get(begin, 0) + 1
    return list(counts.items())


def _faults(rows: source.Rows) -> list[dict[str, Any]]:
    found = (
        ("unreadable_time", rows.untimed, "rows of the user have no time that can be read"),
        ("unreadable_row", rows.unreadable, "rows of the source cannot be read at all"),
        ("cut", rows.cut, "rows of the source were not looked at: it gives too many at once"),
        ("labels_cut", rows.unlabelled, "rows have further labels, which are not counted"),
        ("duplicate", rows.doubles, "rows repeat another one with all its values"),
    )
    return [
        {"kind": kind, "rows": count, "message": f"{count:,} {words}"}
        for kind, count, words in found
        if count
    ]


def _gaps(moments: list[int]) -> list[dict[str, Any]]:
    """Pauses far longer than the usual one."""
    pauses = [later - at for at, later in itertools.pairwise(moments)]
    if len(pauses) < _FEW:
        return []
    least = max(_HOUR, _GAP * statistics.median(pauses))
    long = [(pause, n) for n, pause in enumerate(pauses) if pause > least]
    found = sorted(sorted(long, reverse=True)[:_GAPS], key=lambda pair: pair[1])
    return [
        {
            "kind": "gap",
            "from": times.text(moments[n]),
            "to": times.text(moments[n + 1]),
            "message": f"nothing for {_words(pause)}",
        }
        for pause, n in found
    ]


def _bursts(line: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Steps with far more rows than the others."""
    counts = [count for _, count in line]
    if len(counts) < _FEW:
        return []
    # The median and its deviation: a burst raises the mean that it is measured against.
    middle = statistics.median(counts)
    deviation = 1.4826 * statistics.median(abs(count - middle) for count in counts)
    least = max(_FEW, middle + _BURST * max(deviation, middle**0.5))
    return [
        {
            "kind": "burst",
            "from": times.text(at),
            "rows": count,
            "message": f"{count:,} rows, usually {middle:g}",
        }
        for at, count in line
        if count > least
    ][:_FEW]


def _words(ms: int) -> str:
    days, rest = divmod(ms // 60_000, 1_440)
    hours, minutes = divmod(rest, 60)
    named = ((days, "d"), (hours, "h"), (minutes, "min"))
    return " ".join(f"{number} {unit}" for number, unit in named if number)
