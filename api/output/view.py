"""Stored streams as frames and as arrays: the history, the neutral output, the raw lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from api import aside
from api.jobs import view
from api.pages import Position
from api.streams import ALL_OF_IT, SSE, Frame
from knify import clock, model
from knify.core import Core
from knify.lifecycle import TERMINAL
from knify.services import history
from knify.store.streams import Entry

PAGE = 200  # events, or short entries, read at a time
SIZE = 48 * 1024  # characters that one reading should give: so that pages mostly keep it
_FIRST = 20  # entries, until it is known how long they are


class Events:
    """The history; ids are event numbers."""

    kind, dotted, style = "events", False, SSE

    def __init__(self, core: Core, x: model.Execution) -> None:
        self.x, self.newest = x, x.events
        self._core = core

    def page(self, after: Position) -> tuple[Sequence[Frame], bool]:
        """See `Source`."""
        read = aside.reader(self.x.tenant)
        found = history.events(self._core, self.x.id, after=after[0], most=PAGE, aside=read)
        frames = [
            Frame((e.n, ALL_OF_IT), str(e.n), view.event(e), last=e.state in TERMINAL)
            for e in found
        ]
        return frames, len(frames) == PAGE

    def over(self) -> bool:
        """See `Source`."""
        return is_over(self._core, self.x)


class Output:
    """The output; ids are `entry.event`, or entry numbers when it is `raw`."""

    style = SSE

    def __init__(self, core: Core, x: model.Execution, *, raw: bool) -> None:
        self.x, self.newest, self.dotted = x, x.entries, not raw
        self.kind = "raw" if raw else "output"
        self._core = core
        self._raw = raw
        self._most = _FIRST  # entries of the next reading

    def page(self, after: Position) -> tuple[Sequence[Frame], bool]:
        """See `Source`. An entry without anything to show still moves the position."""
        seq, event = after
        if event != ALL_OF_IT and seq > 0:
            rest, _ = self._behind(seq - 1, 1, after)
            if rest:  # of the very entry at which the client is
                return rest, True
        return self._behind(seq, self._most, after)

    def _behind(self, seq: int, most: int, after: Position) -> tuple[list[Frame], bool]:
        read = aside.reader(self.x.tenant)
        entries, more = history.page(self._core, self.x.id, after=seq, most=most, aside=read)
        frames = [f for e in entries for f in self._shown(e) if f.position > after]
        self._most = fitting(entries, self._most)
        if frames:  # the next reading begins behind the whole entry
            end = (frames[-1].position[0], ALL_OF_IT)
            frames[-1] = dataclasses.replace(frames[-1], position=end)
        return frames, more

    def over(self) -> bool:
        """See `Source`."""
        return is_over(self._core, self.x)

    def _shown(self, entry: Entry) -> list[Frame]:
        return _raw_frames(entry) if self._raw else _neutral_frames(entry)


def fitting(entries: Sequence[Entry], before: int) -> int:
    """How many entries, as long as these, the next reading should be; `before` without any."""
    if not entries:
        return before
    mean = sum(map(_size, entries)) // len(entries) + 100
    return max(1, min(PAGE, SIZE // mean))


def is_over(core: Core, x: model.Execution) -> bool:
    """Whether nothing is added to its streams any more."""
    now = core.store.executions.find(x.id)
    return now is None or now.completed_at is not None


def _size(entry: Entry) -> int:
    """About how long it is when it is shown."""
    return len(entry.line or "") + sum(
        len(event.get("message", "")) + 100 for event in entry.events
    )


def _neutral_frames(entry: Entry) -> list[Frame]:
    frames = [
        Frame((entry.seq, i), f"{entry.seq}.{i}", event, last=event["type"] == "completed")
        for i, event in enumerate(entry.events)
    ]
    return frames or [Frame((entry.seq, ALL_OF_IT), "", None)]


def _raw_frames(entry: Entry) -> list[Frame]:
    shown = None if entry.n is None else raw_line(entry)
    last = any(event["type"] == "completed" for event in entry.events)
    return [Frame((entry.seq, ALL_OF_IT), str(entry.seq), shown, last=last)]


def raw_line(entry: Entry) -> dict[str, Any]:
    """One of the agent's own lines."""
    return {
        "n": entry.n,
        "stream": entry.stream,
        "line": entry.line,
        "timestamp": clock.rfc3339(entry.ts),
    }


def array(core: Core, x: model.Execution, *, raw: bool) -> Iterator[str]:
    """`{"events": […]}` in pieces, however long the output is."""
    entries = history.output(core, x.id, aside=aside.reader(x.tenant))
    if raw:
        return _array(raw_line(entry) for entry in entries if entry.n is not None)
    return _array(event for entry in entries for event in entry.events)


def _array(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    pieces, size, comma = ['{"events":['], 0, ""
    for row in rows:
        text = comma + json.dumps(row, separators=(",", ":"))
        pieces.append(text)
        size, comma = size + len(text), ","
        if size > 64 * 1024:
            yield "".join(pieces)
            pieces, size = [], 0
    yield "".join([*pieces, "]}\n"])
