"""Lines that runs printed within a window of time, read from its end backwards.

What the window excludes is not read: runs are chosen by when they went on, segments by the times
that stand in their names, lines by halving. The newest lines count: there is a limit to them, and
to what one call reads.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from knify import errors, model
from knify.core import Core
from knify.services import history
from knify.services.history import Aside
from knify.store import streams
from knify.store.streams import Entry, Segment

MOST_FILTER: Final = 1_000  # characters
RUNS: Final = 1_000  # of which one call reads records, about
_PAGE: Final = 500
_SEGMENTS: Final = 32  # that one call reads, of about 2 MiB each
_RUNS_PAGE: Final = 100
#: How far the clocks of nodes, by which lines have their times, may be from Redis's, by which runs
#: begin and end.
_SKEW_MS: Final = 2_000
_RE2_BYTES: Final = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class Window:
    """Which lines are asked for."""

    start: int  # ms, inclusive both
    end: int
    limit: int
    matches: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One raw line of a run."""

    ts: int
    run_id: str
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """The newest lines of a window, in the order of time.

    Those of one millisecond are never parted, so that a window which ends before the oldest of
    them goes on exactly behind it: a run's piece of output has one time for all its lines.
    """

    lines: list[Line]
    next_end: int | None  # the end of a window with what is older; None: that is all


def matcher(text: str) -> Callable[[str], bool]:
    """What a filter lets pass: lines that hold it, or match its `/regular expression/`.

    By RE2, whose time grows with the line only. BadRequest.
    """
    if len(text) > MOST_FILTER:
        raise _bad(f"is longer than {MOST_FILTER} characters")
    if len(text) < 2 or not (text.startswith("/") and text.endswith("/")):
        return lambda line: text in line
    import re2  # few filters are expressions

    options = re2.Options()
    options.max_mem, options.log_errors = _RE2_BYTES, False
    try:
        found = re2.compile(text[1:-1], options=options)
    except re2.error as wrong:
        why = wrong.args[0] if wrong.args else wrong
        why = why.decode(errors="replace") if isinstance(why, bytes) else why
        raise _bad(f"is no regular expression of RE2: {why}") from wrong
    return lambda line: found.search(line) is not None


def find(
    core: Core, xs: Iterable[model.Execution], window: Window, *, aside: Aside = history.here
) -> Found:
    """Lines of all these runs together. ObjectStoreError."""
    return _merged(core, _Given(list(xs)), window, aside)


def across(core: Core, definition_id: str, window: Window, *, aside: Aside = history.here) -> Found:
    """Lines of all runs of a definition, of which only those of the window are read.

    Whoever goes on by `next_end` sees those of each run, however many there are. ObjectStoreError.
    """
    return _merged(core, _Runs(core, definition_id, window), window, aside)


def _merged(core: Core, source: _Source, window: Window, aside: Aside) -> Found:
    budget = _Budget()
    readers: list[_Reader] = []
    heap: list[tuple[int, int]] = []  # (by how new a line they may have, which reader)
    lines: list[Line] = []
    while True:
        newest = -heap[0][0] if heap else window.start - 1
        unread = max(newest, source.bound)
        if unread < window.start:
            return _found(lines, None)
        if _is_enough(lines, window, unread, budget):
            return _found(lines, unread)
        if source.bound >= newest:  # a run that was not read yet may have a newer line
            for x in source.more():
                budget.runs += 1
                if _overlaps(x, window):
                    readers.append(_Reader(core, x, window, budget, aside))
                    heapq.heappush(heap, (-readers[-1].bound, len(readers) - 1))
            continue
        _, n = heapq.heappop(heap)
        line = readers[n].step()
        if line is not None:
            lines.append(line)
        if readers[n].bound >= window.start:
            heapq.heappush(heap, (-readers[n].bound, n))


class _Source(Protocol):
    """Runs, piece by piece, in the order in which their last lines may lie."""

    #: No line of a run that is still to come is newer (ms); below the window: none is to come.
    bound: int

    def more(self) -> Sequence[model.Execution]: ...


class _Given:
    """Runs that are known."""

    def __init__(self, xs: Sequence[model.Execution]) -> None:
        self.bound, self._xs = 2**62, xs

    def more(self) -> Sequence[model.Execution]:
        self.bound = -1
        return self._xs


class _Runs:
    """A definition's runs: those that went on at the window's end, then by when they ended."""

    def __init__(self, core: Core, definition_id: str, window: Window) -> None:
        self.bound = window.end
        self._core, self._definition, self._window = core, definition_id, window
        self._end, self._known = window.end, 0  # of the page before, and how many ended just then
        self._seen: set[str] | None = None

    def more(self) -> Sequence[model.Execution]:
        store, names = self._core.store, []
        if self._seen is None:
            names = store.runs.during(self._definition, self._window.end, slack=_SKEW_MS)
            self._seen = set()
        start = self._window.start - _SKEW_MS
        page = store.runs.ended(self._definition, start, self._end, _RUNS_PAGE, known=self._known)
        names = [n for n in (*names, *(name for name, _ in page)) if n not in self._seen]
        names = list(dict.fromkeys(names))
        self._seen.update(names)
        self._turn(page)
        return store.listing.records(names)

    def _turn(self, page: Sequence[tuple[str, int]]) -> None:
        if len(page) < _RUNS_PAGE:
            self.bound = self._window.start - 1
            return
        last = page[-1][1]
        before = self._known if last == self._end else 0
        self._end, self._known = last, before + sum(at == last for _, at in page)
        self.bound = min(self.bound, last + _SKEW_MS)


def _is_enough(lines: list[Line], window: Window, unread: int, budget: _Budget) -> bool:
    """`unread`: no line that is still to come is newer. Each call gets beyond one time at least."""
    if budget.is_spent and unread < window.end:
        return True
    return len(lines) >= window.limit and unread < lines[-1].ts


def _found(lines: list[Line], unread: int | None) -> Found:
    """What was seen of a time that is not through comes with the rest of it."""
    kept = [line for line in lines if unread is None or line.ts > unread]
    return Found(kept[::-1], unread)


def _overlaps(x: model.Execution, window: Window) -> bool:
    began, ended = x.started_at or x.created_at, x.completed_at
    if began > window.end + _SKEW_MS:
        return False
    return ended is None or ended >= window.start - _SKEW_MS


class _Budget:
    """What one call may read."""

    def __init__(self) -> None:
        self.segments = 0  # of the object store
        self.runs = 0

    @property
    def is_spent(self) -> bool:
        return self.segments > _SEGMENTS or self.runs >= RUNS


class _Reader:
    """One run's lines, from the end of the window backwards."""

    def __init__(
        self, core: Core, x: model.Execution, window: Window, budget: _Budget, aside: Aside
    ) -> None:
        self._core, self._x, self._window = core, x, window
        self._budget, self._aside = budget, aside
        ended = x.completed_at
        last = window.end if ended is None else min(window.end, ended + _SKEW_MS)
        self.bound = last  # no line that is still to come is newer; below the window: none is left
        self._ready: list[Line] = []  # the newest last
        self._pages = self._read()

    def step(self) -> Line | None:
        """The next line, or None when some more were only read."""
        if self._ready:
            line = self._ready.pop()
            if self._ready:
                self.bound = min(self.bound, self._ready[-1].ts)
            return line
        page = next(self._pages, None)
        if page is None:
            self.bound = self._window.start - 1
            return None
        oldest, self._ready = page
        self.bound = min(self.bound, self._ready[-1].ts if self._ready else oldest)
        return None

    def _read(self) -> Iterator[tuple[int, list[Line]]]:
        """(no line that follows is newer than this, lines with the newest last), page by page."""
        low: int | None = None  # number of the oldest entry that was seen
        while page := self._core.store.streams.newest(self._x.id, before=low, most=_PAGE):
            low, oldest = page[-1].seq, page[-1].ts
            yield oldest, self._chosen(page[::-1])
            if oldest < self._window.start:
                return
        for part in reversed(self._segments()):
            if low is not None and part.first >= low:
                continue  # it was seen in Redis a moment ago
            begin, end = part.span or (self._window.start, self._window.end)
            if end < self._window.start:
                return
            if begin <= self._window.end:
                self._budget.segments += 1
                yield begin, self._of(part, low)

    def _segments(self) -> Sequence[Segment]:
        found, packed = self._core.store.streams.segments(self._x.id)
        if found or not packed:
            return found
        return history.record(self._core, self._x.id, aside=self._aside).segments

    def _of(self, part: Segment, low: int | None) -> list[Line]:
        texts = history.segment(self._core, self._x.id, part, aside=self._aside)
        texts = texts if low is None else texts[: max(0, low - part.first)]
        return self._aside(lambda: self._among(texts))

    def _among(self, texts: list[bytes]) -> list[Line]:
        """The newest of a segment that are in the window, as many as can be asked for."""
        first = bisect.bisect_left(texts, self._window.start, key=streams.moment)
        behind = bisect.bisect_right(texts, self._window.end, key=streams.moment)
        found: list[Line] = []
        limit = self._window.limit
        for text in reversed(texts[first:behind]):
            found += self._chosen([streams.entry(0, text)])
            if len(found) > limit and found[-1].ts < found[limit - 1].ts:
                break  # the last one says where it goes on
        return found[::-1]

    def _chosen(self, entries: Iterable[Entry]) -> list[Line]:
        w = self._window
        return [
            Line(e.ts, self._x.id, e.stream or "", e.line)
            for e in entries
            if e.n is not None
            and e.line is not None
            and w.start <= e.ts <= w.end
            and (w.matches is None or w.matches(e.line))
        ]


def _bad(why: str) -> errors.BadRequest:
    return errors.BadRequest(f"filter {why}", detail={"field": "filter"})
