"""Wall-clock time as Knify stores and shows it: integer milliseconds, RFC 3339 UTC at the edge."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)

_FIRST = -62_135_596_800_000  # 0001-01-01T00:00:00Z
_LAST = 253_402_300_799_000  # 9999-12-31T23:59:59Z


def now_ms() -> int:
    """Milliseconds since the epoch by this machine's clock (leases use Redis's clock instead)."""
    return time.time_ns() // 1_000_000


def rfc3339(ms: int) -> str:
    """`2026-01-31T10:00:00.123Z` for milliseconds since the epoch."""
    ms = min(max(ms, _FIRST), _LAST)  # what is stored may be nonsense; a list of it shows the rest
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch; ValueError when `text` is no RFC 3339 time with a zone."""
    if not _RFC_3339.fullmatch(text):  # ISO 8601 knows many more forms
        raise ValueError("write a time with its zone, such as 2026-01-31T10:00:00Z")
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as failed:
        raise ValueError("a time lies in the years 1 to 9999 of UTC") from failed
    return int(moment.timestamp() * 1000)
