"""What a sandbox may ask a database: one reading statement at a time.

That nothing is written is the server's own doing: the whole session is one transaction that only
reads, and whose end would be the end of that. So what is kept from the server is whatever could end
it. A statement's first word tells its kind; comments before it are not tried to be understood.
"""

from __future__ import annotations

import re
from typing import Final

#: What a cursor is read with, and no more: `EXPLAIN ANALYZE CREATE TABLE x AS …` writes, whatever
#: kind of transaction it is in.
READING: Final = frozenset((b"SELECT", b"DECLARE", b"FETCH", b"CLOSE"))
_SPACE: Final = b" \t\n\r\f\v"
_WORD: Final = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*")
#: Messages that change nothing by themselves: bind, close, describe, execute, flush, sync, the end.
_PLAIN: Final = frozenset((b"B", b"C", b"D", b"E", b"H", b"S", b"X"))


def refusal(kind: bytes, body: bytes) -> str | None:
    """Why a message is not passed on; None when it is."""
    if kind in _PLAIN:
        return None
    if kind == b"Q":  # may hold several statements
        text = body.removesuffix(b"\0")
        if b";" in text.rstrip(_SPACE + b";") or b"\0" in text:
            return "one statement at a time, without a ; in it"
        return _refusal(text)
    if kind == b"P":  # name, text, types: the server takes one statement only
        return _refusal(body.partition(b"\0")[2].partition(b"\0")[0])
    return "only statements"


def _refusal(text: bytes) -> str | None:
    text = text.lstrip(_SPACE)
    word = _WORD.match(text)
    if word and word[0].upper() in READING:
        return None
    names = ", ".join(sorted(name.decode() for name in READING))
    return f"only what reads: it begins with one of {names}"
