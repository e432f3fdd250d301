"""Times as sources write them, in milliseconds since the epoch. Without a zone they are UTC."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

_FACTORS = {"s": 1_000.0, "ms": 1.0, "us": 0.001}
#: From these sizes on a number is taken for milliseconds and microseconds: until the year 5138,
#: seconds have eleven digits at most.
AS_MS, AS_US = 1e11, 1e14


def milliseconds(value: Any, unit: str = "auto") -> int | None:
    """A time that a source holds; None when it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _of_number(float(value), unit)
    if isinstance(value, str):
        return _of_text(value.strip(), unit)
    if isinstance(value, datetime):
        return _of_datetime(value)
    if isinstance(value, date):
        return _of_datetime(datetime(value.year, value.month, value.day, tzinfo=UTC))
    return None


def text(ms: int) -> str:
    """`2026-01-31T10:00:00.123Z`."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{ms} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of_number(number: float, unit: str) -> int | None:
    size = abs(number)
    if not math.isfinite(number) or size >= 2**60:
        return None
    if unit == "auto":
        unit = "us" if size >= AS_US else "ms" if size >= AS_MS else "s"
    return math.floor(number * _FACTORS[unit])


def _of_text(word: str, unit: str) -> int | None:
    try:
        return _of_datetime(datetime.fromisoformat(word))
    except ValueError:
        pass
    try:
        return _of_number(float(word), unit)
    except ValueError:
        return None


def _of_datetime(moment: datetime) -> int | None:
    try:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return math.floor(aware.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None
