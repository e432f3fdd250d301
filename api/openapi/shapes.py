"""Words, sizes, times and hosts as JSON Schema, for all that a request may hold."""

from __future__ import annotations

from typing import Any, Final

from knify import units

#: Sizes in text; the range as digits, since a schema cannot compare them. A fraction is allowed.
_FRACTION: Final = r"(?:\.[0-9]{1,6})?"
_UNIT: Final = r"(?:\.[0-9]{1,6})?\s*(?:%s)[iI]?[bB]?"
NO_NUL: Final = r"^[^\u0000]*$"
NOT_BLANK: Final = r"^[^\u0000]*\S[^\u0000]*$"
WORD: Final = {"type": "string", "pattern": NO_NUL}
MOMENT: Final = {"type": "string", "format": "date-time", "example": "2026-01-31T10:00:00Z"}
#: Names only; the server takes international ones, too.
HOST: Final = (
    r"^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\.){1,4}[a-z]{2,20}(?::[1-9][0-9]{0,3})?$"
)


def size(least: int, kilo: str, mega: str) -> dict[str, Any]:
    """Bytes, or text such as `8G`; which numbers of kilobytes and megabytes are enough."""
    ranges = [kilo + _UNIT % "[kK]", mega + _UNIT % "[mM]"]
    ranges += ["[1-9][0-9]{0,5}" + _UNIT % "[gG]", "[1-9][0-9]{0,2}" + _UNIT % "[tT]"]
    text = {"type": "string", "pattern": f"^(?:{'|'.join(ranges)})$"}
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": 2**50}, text]}


def duration(longest: float = 315_360_000, *, least: float | None = None) -> dict[str, Any]:
    """Seconds, or text such as `1h30m`; so many digits that no text is longer than `longest`."""
    number: dict[str, Any] = {"type": "number", "maximum": longest}
    number["minimum"] = units.SHORTEST
    none = [] if least is None else [{"type": "number", "minimum": least, "maximum": least}]
    parts = [("d", 86_400, ""), ("h", 3_600, ""), ("m", 60, ""), ("s", 1, _FRACTION)]
    texts = [
        f"(?:[0-9]{{1,{digits}}}{fraction}{unit})?"
        for unit, seconds, fraction in parts
        if (digits := len(str(int(longest / 5 / seconds))) - 1)
    ]
    plain = f"[0-9]{{1,{len(str(int(longest))) - 1}}}{_FRACTION}"
    pattern = f"^(?=[^1-9]*[1-9])(?:{''.join(texts)}|{plain})$"
    return {"anyOf": [number, *none, {"type": "string", "pattern": pattern}]}


#: How long ago something was.
AGO: Final = {"type": "string", "pattern": "^[1-9][0-9]{0,4}[smhd]$"}
