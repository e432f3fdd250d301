"""What a task printed, or its history: whole, from some place on, or followed."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator
from typing import Any, Final

from api import aside
from api.jobs import view as job_view
from api.output import view
from api.pages import Position
from api.streams import ALL_OF_IT, NDJSON, SSE, START, Frame, Style
from knify import clock, model
from knify.core import Core
from knify.services import history
from knify.store.streams import Entry

STREAMS: Final = ("all", "stdout", "stderr", "events")
_PIECE: Final = 64 * 1024  # characters that are sent together
Row = dict[str, Any]


class Lines(view.Output):
    """Its raw lines as a stream, perhaps of one kind only; ids are entry numbers."""

    def __init__(self, core: Core, x: model.Execution, which: str, style: Style) -> None:
        super().__init__(core, x, raw=True)
        self.kind = f"lines {which} {style.mimetype}"
        self.style = style
        self._which = which

    def _shown(self, entry: Entry) -> list[Frame]:
        shown = view.raw_line(entry) if _matches(entry, self._which) else None
        last = any(event["type"] == "completed" for event in entry.events)
        return [Frame((entry.seq, ALL_OF_IT), str(entry.seq), shown, last=last)]


class Events(view.Events):
    """Its history as a stream; ids are event numbers."""

    def __init__(self, core: Core, x: model.Execution, style: Style) -> None:
        super().__init__(core, x)
        self.kind, self.style = f"events {style.mimetype}", style


def source(core: Core, x: model.Execution, which: str, *, ndjson: bool) -> Lines | Events:
    """What is followed."""
    style = NDJSON if ndjson else SSE
    return Events(core, x, style) if which == "events" else Lines(core, x, which, style)


def start(
    core: Core, x: model.Execution, which: str, tail: int | None, since: int | None
) -> Position:
    """Behind what is left out: all but the last `tail` lines, and what is older than `since`."""
    find = _EventPlaces(core, x) if which == "events" else _LinePlaces(core, x, which)
    after = 0
    if since is not None:
        after = find.since(since)
    if tail is not None:
        after = max(after, find.tail(tail))
    return (after, ALL_OF_IT) if after else START


def whole(
    core: Core, x: model.Execution, which: str, begin: Position, *, ndjson: bool
) -> Iterator[str]:
    """All that is there now behind a place, as text or as JSON, a line each."""
    after = begin[0]
    if which == "events":
        read = aside.reader(x.tenant)
        events = history.events(core, x.id, after=after, aside=read)
        return _pieces(_json(job_view.event(e)) if ndjson else _event_text(e) for e in events)
    entries = (e for e in _entries(core, x, after) if _matches(e, which))
    return _pieces(_json(view.raw_line(e)) if ndjson else f"{e.line}\n" for e in entries)


class _LinePlaces:
    """Where to begin among the output's entries."""

    def __init__(self, core: Core, x: model.Execution, which: str) -> None:
        self._core, self._x, self._which = core, x, which

    def tail(self, count: int) -> int:
        """Behind which entry the last lines stand: looked for from the end, ever further back."""
        newest, window = self._x.entries, max(count, 1)
        if count == 0:
            return newest
        while True:
            after = max(0, newest - window)
            found: collections.deque[int] = collections.deque(maxlen=count)
            for entry in _entries(self._core, self._x, after):
                if entry.seq > newest:
                    break
                if _matches(entry, self._which):
                    found.append(entry.seq)
            if len(found) == count:
                return found[0] - 1
            if after == 0:
                return 0
            window *= 4

    def since(self, ms: int) -> int:
        """Behind the last entry that is older, by halving: they were stored in their order."""
        low, high = 0, self._x.entries  # the first `low` are older
        while low < high:
            middle = (low + high) // 2
            entry = next(iter(self._page(middle)), None)
            if entry is not None and entry.ts < ms:
                low = middle + 1
            else:
                high = middle
        return low

    def _page(self, after: int) -> list[Entry]:
        read = aside.reader(self._x.tenant)
        return history.page(self._core, self._x.id, after=after, most=1, aside=read)[0]


class _EventPlaces:
    """The same among events, which are few."""

    def __init__(self, core: Core, x: model.Execution) -> None:
        self._core, self._x = core, x

    def tail(self, count: int) -> int:
        """Behind which event the last ones stand."""
        return max(0, self._x.events - count)

    def since(self, ms: int) -> int:
        """Behind the last event that is older."""
        read = aside.reader(self._x.tenant)
        events = history.events(self._core, self._x.id, aside=read)
        return max((e.n for e in events if e.ts < ms), default=0)


def _entries(core: Core, x: model.Execution, after: int) -> Iterator[Entry]:
    return history.output(core, x.id, after=after, aside=aside.reader(x.tenant))


def _matches(entry: Entry, which: str) -> bool:
    return entry.n is not None and which in ("all", entry.stream)


def _event_text(e: model.Event) -> str:
    detail = " ".join(e.detail.split())
    return f"{clock.rfc3339(e.ts)} {e.level} {e.stage}: {detail}\n"


def _json(row: Row) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _pieces(texts: Iterator[str]) -> Iterator[str]:
    """As few as possible, and at least one."""
    pieces: list[str] = []
    size = 0
    for text in texts:
        pieces.append(text)
        size += len(text)
        if size > _PIECE:
            yield "".join(pieces)
            pieces, size = [], 0
    yield "".join(pieces)
