"""Sizes and durations as people write them: `8G`, `512Mi`, `24h`, `90`."""

from __future__ import annotations

import re

_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)$", re.IGNORECASE)
_DURATION = re.compile(r"^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(value: str | int) -> int:
    """Bytes. A number is bytes; `K M G T` count in 1024s, with or without `i` and `B`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a size like 512M or 8G")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def parse_duration(value: str | float) -> float:
    """Seconds. A number is seconds; text is like `90s`, `15m`, `24h`, `1d12h`, `1h30m`."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    match = _DURATION.match(text)
    seconds = 0.0
    if match is not None:
        for part, unit in zip(match.groups(), (86_400, 3_600, 60, 1), strict=True):
            seconds += float(part or 0) * unit
    elif re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    if seconds <= 0:
        raise ValueError("write a duration like 90s, 15m or 24h")
    return seconds


def show_size(count: int) -> str:
    """`12 B`, `3.4 KiB`, `1.2 GiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
