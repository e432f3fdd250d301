"""Sizes and durations as people write them: `8G`, `512Mi`, `24h`, `90`."""

from __future__ import annotations

import math
import re

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,6})?)s)?",
    re.ASCII,
)
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
SHORTEST = 0.001  # seconds: what is stored counts milliseconds
LONGEST = 10 * 365 * 86_400.0  # seconds
_LARGEST = 2**60  # bytes


def parse_size(value: str | float) -> int:
    """Bytes. A number is bytes; `K M G T` count in 1024s, with or without `i` and `B`."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError("write a size like 512M or 8G")
        size = int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])
    if not 0 <= size <= _LARGEST:
        raise ValueError("the size is out of bounds")
    return size


def parse_duration(value: str | float) -> float:
    """Seconds. A number is seconds; text is like `90s`, `15m`, `24h`, `1d12h`, `1h30m`."""
    seconds = _seconds(value) if isinstance(value, str) else parse_number(value)
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError("write a duration like 90s, 15m or 24h, at most ten years")
    return seconds


def parse_number(value: float) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("write a number")
    if (isinstance(value, int) and abs(value) > _LARGEST) or not math.isfinite(value):
        raise ValueError("the number is out of bounds")
    return float(value)


def _seconds(text: str) -> float:
    if _SECONDS.fullmatch(text):
        return float(text)
    match = _DURATION.fullmatch(text)
    parts = zip(match.groups(), (86_400, 3_600, 60, 1), strict=True) if match else ()
    return sum(float(part or 0) * unit for part, unit in parts)


def write_size(count: int) -> str | int:
    """As `parse_size` reads it: `8G`, `512M`, else bytes."""
    for unit, power in (("G", 3), ("M", 2)):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{unit}"
    return count


def show_size(count: int) -> str:
    """`12 B`, `3.4 KiB`, `1.2 GiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
