"""How values look to people: the words and numbers that all pages use."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from api.jobs import view
from knify import clock, model, units
from knify.lifecycle import State

#: A job type for people; one that is not here is shown as it is.
TYPES: Final = {
    "cursor_task": "Cursor",
    "claude_task": "Claude Code",
    "gemini_task": "Gemini",
    "codex_task": "Codex",
    "runbook_task": "Runbook",
    "command_task": "Command",
    "fh_e2e_tools": "Browser test",
    "user_exam": "User exam",
}
NONE: Final = "\N{EN DASH}"
_LONGEST_TITLE: Final = 140
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def type_name(job_type: str) -> str:
    """The type's name for people."""
    return TYPES.get(job_type, job_type)


def status(x: model.Execution) -> str:
    """The Jobs API's word for its state."""
    return view.STATUS[State(x.state)]


def title(x: model.Execution) -> str:
    """What a list calls it: its name, else the first words of what it was asked."""
    text = x.name or _asked(x.request) or x.id
    line = next((part.strip() for part in text.splitlines() if part.strip()), x.id)
    line = line.lstrip("# ") or line
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…"


def _asked(request: Mapping[str, Any]) -> str:
    for name in ("prompt", "command", "user_id"):
        found = request.get(name)
        if isinstance(found, list):
            return " ".join(str(part) for part in found)
        if isinstance(found, str) and found.strip():
            return found
    return ""


def seconds_between(start: int | None, end: int | None) -> float | None:
    """Of two moments in ms; of one that has not ended, up to now. None before it began."""
    return None if start is None else ((end or clock.now_ms()) - start) / 1000


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 m 20 s`, `2 h 5 m`; a dash for none."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    left, parts = int(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def ago(ms: int) -> str:
    """`just now`, `5 m ago`, `3 h ago`, `in 2 d`."""
    seconds = (clock.now_ms() - ms) / 1000
    if abs(seconds) < 5:
        return "just now"
    text = next(f"{int(abs(seconds) // size)} {u}" for size, u in _UNITS if abs(seconds) >= size)
    return f"{text} ago" if seconds > 0 else f"in {text}"


def moment(ms: int, zone: str = "UTC") -> str:
    """`29 Nov 2026 09:05:07 UTC`, by the clock of a known time zone."""
    at = datetime.fromtimestamp(ms / 1000, zoneinfo.ZoneInfo(zone))
    return f"{at.day} {at:%b %Y %H:%M:%S %Z}"


def size(count: int | None) -> str:
    """Bytes, as `12.3 KiB`."""
    return NONE if count is None else units.show_size(count)


def cost(usd: float | None) -> str:
    """`$0.0123`, `$1.20`; a dash for none."""
    if usd is None:
        return NONE
    return f"${usd:.4f}" if usd < 0.1 else f"${usd:,.2f}"


def count(number: float | None) -> str:
    """`1,234`."""
    return NONE if number is None else f"{int(number):,}"


def plain_name(text: str) -> str:
    """A file's name on one line, where what turns or hides text is shown instead of done."""
    return "".join(
        c if c.isprintable() else f"\N{LEFT ANGLE BRACKET}{_code(c)}\N{RIGHT ANGLE BRACKET}"
        for c in text
    )


def _code(character: str) -> str:
    return {"\n": "newline", "\t": "tab"}.get(character, f"U+{ord(character):04X}")


def as_text(value: Any) -> str:
    """A text as it is, any other JSON as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "ago_text": ago,
    "as_text": as_text,
    "cost": cost,
    "count": count,
    "duration": duration,
    "moment_text": moment,
    "plain_name": plain_name,
    "rfc3339": clock.rfc3339,
    "seconds_between": seconds_between,
    "size": size,
    "status_of": status,
    "title_of": title,
    "type_name": type_name,
}
