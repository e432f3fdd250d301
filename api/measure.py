"""How much there is in a JSON text, before anybody parses it and so holds up the process."""

from __future__ import annotations

import re
from typing import Final

#: Reads each string once and to its end, also where it has none: no text makes it look back.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def exceeds(raw: bytes, marks: bytes, most: int) -> bool:
    """Whether more than `most` of these characters stand in it, outside of its strings."""
    return _count(raw, marks) > most and count(raw, marks) > most


def count(raw: bytes, marks: bytes) -> int:
    """How many of these characters stand in it, outside of its strings."""
    return _count(_STRING.sub(b"", raw), marks)


def _count(raw: bytes, marks: bytes) -> int:
    return sum(raw.count(bytes([mark])) for mark in marks)
