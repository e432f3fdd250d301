"""Finding secrets in what leaves a sandbox, however it comes in pieces, and covering them.

What is covered is a pure function of the whole stream: the union of all places where a form of a
value stands (`disguises.py`), line breaks within left aside. So whoever reads the stream again from
any earlier byte, `Masks.reach` before the one that counts, covers the same. Only what may still
become a secret is held back.

A line that ends with fewer than HEAD bytes of what may become a secret does not wait: too many
would. Those few bytes are seen then; what follows of the secret on the next lines is covered.
"""

from __future__ import annotations

import bisect
import re
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import ahocorasick_rs

from knify import disguises
from knify.disguises import BREAKS

MASK: Final = b"***"
RARE: Final = 64 * 1024  # characters of values whose rarer forms are looked for: a job's, mostly
HEAD: Final = 4  # bytes by which forms are looked up
_SPREAD: Final = 4  # times its own length that a wrapped form may take: a byte a line, with CR LF

Span = tuple[int, int]  # offsets of the first byte and of the one behind the last


class Masks:
    """What must be covered: some values in all their forms."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Values shorter than `disguises.SHORTEST` are not looked for."""
        self.values = tuple(dict.fromkeys(values))
        forms, left = set[bytes](), RARE
        for value in reversed(self.values):  # the newest ones stand at the end
            left -= len(value)
            forms |= disguises.of(value, rare=left >= 0)
        self._by_head: dict[bytes, list[bytes]] = {}
        for form in sorted(forms):
            self._by_head.setdefault(form[:HEAD], []).append(form)
        self._heads = ahocorasick_rs.BytesAhoCorasick(list(self._by_head)) if forms else None
        #: Bytes before any position that decide, with those behind it, what is covered there.
        self.reach = max(map(len, forms), default=0) * _SPREAD

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return self._heads is not None

    def context(self, stored: int) -> int:
        """How many of a stream's stored bytes are to be read again, so that it goes on alike."""
        return min(stored, self.reach)

    def heads(self, plain: bytes) -> list[int]:
        """Where in bytes without breaks a form may begin, in order."""
        if self._heads is None:
            return []
        found = self._heads.find_matches_as_indexes(plain, overlapping=True)
        return [start for _, start, _ in found]

    def at(self, plain: bytes, start: int) -> tuple[list[int], int]:
        """Lengths of the forms that stand there, and of the longest that may still come about."""
        whole, longest, room = [], 0, len(plain) - start
        for form in self._by_head[plain[start : start + HEAD]]:
            if len(form) <= room:
                if plain.startswith(form, start):
                    whole.append(len(form))
            elif form.startswith(plain[start:]):
                longest = max(longest, len(form))
        return whole, longest

    def text(self, text: str) -> str:
        """A whole text with its secrets covered."""
        if not self:
            return text
        data = text.encode("utf-8", "surrogatepass")
        search = Search(self)
        search.feed(data)
        search.finish()
        if not search.spans:
            return text
        return covered(data, 0, search.spans).decode("utf-8", "replace")

    def clean(self, value: Any) -> Any:
        """The same for all texts in a value of JSON, names included."""
        if not self:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.clean(name): self.clean(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.clean(one) for one in value)
        return value


class Search:
    """One stream; offsets count its bytes from the first one that was fed."""

    def __init__(self, masks: Masks) -> None:
        """Nothing was fed yet."""
        self.held = 0  # whether a byte before this one is covered is known
        self.spans: deque[Span] = deque()  # what is covered, by their beginnings; they may overlap
        self._masks = masks
        self._window = b""  # the end of the stream, as far as it is still needed,
        self._base = 0  # and where it begins; the same without breaks:
        self._plain_base = 0
        self._looked = 0  # up to where heads were looked for, without breaks
        self._open: deque[int] = deque()  # where heads stand that are not decided, without breaks

    def feed(self, data: bytes) -> None:
        """More of it."""
        self._window += data
        plain = self._window.translate(None, BREAKS)
        begin = max(self._looked - self._plain_base, 0)
        at = self._plain_base + begin
        self._open += [at + start for start in self._masks.heads(plain[begin:])]
        self._looked = max(self._looked, self._plain_base + len(plain) - HEAD + 1)
        self._decide(plain, is_over=False)

    def finish(self) -> None:
        """Nothing more comes: what has not become a secret is none."""
        self._decide(self._window.translate(None, BREAKS), is_over=True)

    def drop(self, before: int) -> None:
        """Forget spans that end at or before this offset."""
        while self.spans and self.spans[0][1] <= before:
            self.spans.popleft()

    def _decide(self, plain: bytes, *, is_over: bool) -> None:
        end, held = self._base + len(self._window), None
        where = _Where(self._window, plain) if self._open else None
        while self._open and where is not None:
            start = self._open[0] - self._plain_base
            first = where.raw(start)
            whole, longest = self._masks.at(plain, start)
            seen = len(self._window) - first
            if longest and not is_over and seen <= _SPREAD * longest:
                held = self._base + self._shown_from(where, start)
                break
            for length in whole:
                behind = where.raw(start + length - 1) + 1
                if behind - first <= _SPREAD * length:
                    from_ = self._base + self._shown_from(where, start)
                    self.spans.append((from_, self._base + behind))
            self._open.popleft()
        self.held = end if held is None else held
        self._trim(plain, where)

    def _shown_from(self, where: _Where, start: int) -> int:
        """Where covering begins: lines that ended within the head were shown before."""
        first, last = where.raw(start), where.raw(start + HEAD - 1)
        broken = self._window.rfind(b"\n", first, last)
        return first if broken < 0 else broken + 1

    def _trim(self, plain: bytes, where: _Where | None) -> None:
        """Keep what an undecided form, or one whose head is not complete, begins with."""
        if self._open:
            first = (where or _Where(self._window, plain)).raw(self._open[0] - self._plain_base)
        else:
            first = _last(self._window, HEAD - 1)
        # Breaks without end hold nothing up: no form spreads that far.
        first = max(first, len(self._window) - self._masks.reach)
        dropped = self._window[:first]
        self._window = self._window[first:]
        self._base += first
        self._plain_base += len(dropped.translate(None, BREAKS))


class _Where:
    """From offsets in a window without its breaks to those in the window itself."""

    def __init__(self, window: bytes, plain: bytes) -> None:
        self._breaks: list[int] = []  # how many bytes other than breaks stand before each break
        if len(window) != len(plain):
            at = (match.start() for match in re.finditer(rb"[\r\n]", window))
            self._breaks = [place - n for n, place in enumerate(at)]

    def raw(self, plain: int) -> int:
        return plain + bisect.bisect_right(self._breaks, plain)


def _last(window: bytes, count: int) -> int:
    """Where the last so many bytes other than breaks begin."""
    at = len(window)
    while count and at:
        if window[at - 1] in BREAKS:
            at = len(window[:at].rstrip(BREAKS))
        else:
            at, count = at - 1, count - 1
    return at


def covered(data: bytes, offset: int, spans: Iterable[Span]) -> bytes:
    """`data`, which begins at `offset`, with what the spans cover of it replaced.

    Spans are ordered by their beginnings; those that touch each other become one mask.
    """
    parts: list[bytes] = []
    at, last = 0, -1  # how far it was copied; where the last mask ended
    for start, end in spans:
        first, behind = max(start - offset, at), min(end - offset, len(data))
        if first >= len(data):
            break
        if behind <= at:
            continue
        if first > at or last != at:
            parts += [data[at:first], MASK]
        at = last = behind
    return b"".join([*parts, data[at:]])


NONE: Final = Masks()
