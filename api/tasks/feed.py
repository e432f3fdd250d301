"""All that happens in a task as one stream of messages: its history and its lines, in order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from api import aside
from api.output import view as output_view
from api.pages import Position
from api.streams import Frame, Style
from api.tasks import view
from knify import clock, errors, model
from knify.core import Core
from knify.lifecycle import TERMINAL
from knify.services import history
from knify.store.streams import Entry

BEGIN: Final[Position] = (0, 0)
_AFTER = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")
_ENTRIES: Final = 20  # of a page, until it is known how long they are
_PLAIN: Final = ("progress", "completed")  # events of a line that say no more than the line
_LOUD: Final = ("warning", "error")
Row = dict[str, Any]


def position(text: str) -> Position:
    """From an `id` of a message: how many events and how many entries were seen. BadRequest."""
    if text in ("", "0"):
        return BEGIN
    match = _AFTER.fullmatch(text)
    if match is None:
        wanted = f"after must be the id of a message, such as 7.120, not {text[:100]!r}"
        raise errors.BadRequest(wanted, detail={"field": "after"})
    return int(match[1]), int(match[2])


def _message(frame: Frame) -> str:
    """One message a line; a WebSocket's other words are its own, see `api/websockets.py`."""
    if frame.data is None:
        return ""
    place = {"id": frame.id} if frame.id else {}
    return json.dumps(frame.data | place, separators=(",", ":")) + "\n"


STYLE: Final = Style("application/json", _message, lambda _: "")


class Feed:
    """See `streams.Source`. A position is the number of the last event and of the last entry."""

    kind, dotted, style = "feed", True, STYLE

    def __init__(self, core: Core, x: model.Execution) -> None:
        self.x, self.newest = x, x.events
        self._core = core
        self._most = _ENTRIES
        self._measured = 0  # ms: of the last point that was told

    def check(self, after: Position) -> None:
        """BadRequest for a place that this task has not reached."""
        if after[0] > self.x.events or after[1] > self.x.entries:
            raise errors.BadRequest("after is ahead of this task", detail={"field": "after"})

    def page(self, after: Position) -> tuple[Sequence[Frame], bool]:
        """See `Source`. Events are read first: behind the terminal one, all entries are there."""
        read = aside.reader(self.x.tenant)
        name = self.x.id
        events = list(
            history.events(self._core, name, after=after[0], most=output_view.PAGE, aside=read)
        )
        entries, more = history.page(self._core, name, after=after[1], most=self._most, aside=read)
        more_events = len(events) == output_view.PAGE
        rows = _merged(events, entries, more_events=more_events, more_entries=more)
        frames = list(self._frames(rows, after))
        self._most = output_view.fitting(entries, self._most)
        if not more and not more_events:
            frames += self._now(frames[-1].position if frames else after, told=bool(entries))
        return frames, more or more_events

    def over(self) -> bool:
        """See `Source`."""
        return output_view.is_over(self._core, self.x)

    def _frames(self, rows: Iterator[model.Event | Entry], after: Position) -> Iterator[Frame]:
        seen, read = after
        for row in rows:
            if isinstance(row, model.Event):
                seen, messages, last = row.n, _of_event(row), row.state in TERMINAL
            else:
                read, messages, last = row.seq, _of_entry(row), False
            place, id_ = (seen, read), f"{seen}.{read}"
            # Only the last one of what belongs together is a place to go on from.
            for message in messages[:-1]:
                yield Frame(place, "", self._named(message))
            yield Frame(place, id_, self._named(messages[-1]) if messages else None, last=last)

    def _now(self, place: Position, *, told: bool) -> list[Frame]:
        """How far it is, if it has told something new; what it takes, if that is newly known."""
        now = self._core.store.executions.find(self.x.id)
        if now is None or now.completed_at is not None:
            return []
        found = []
        if told:
            found.append({"type": "progress", "timestamp": _time(clock.now_ms())} | view.pace(now))
        point = self._core.store.samples.newest(self.x.id)
        if point is not None and point.ts > self._measured:
            self._measured = point.ts
            taken = {"cpu_usage": point.cpus, "memory_usage": point.memory}
            found.append({"type": "metrics", "timestamp": _time(point.ts)} | taken)
        return [Frame(place, "", self._named(message)) for message in found]

    def _named(self, message: Row) -> Row:
        return {"type": message["type"], "task_id": self.x.task_id or self.x.id} | message


def _merged(
    events: Sequence[model.Event],
    entries: Sequence[Entry],
    *,
    more_events: bool,
    more_entries: bool,
) -> Iterator[model.Event | Entry]:
    """Both in the order of their times, each in its own; the end behind everything.

    What would stand behind something that was not read yet is left for the next reading.
    """
    i = j = 0
    while i < len(events) and j < len(entries):
        event, entry = events[i], entries[j]
        if event.state not in TERMINAL and event.ts <= entry.ts:
            yield event
            i += 1
        else:
            yield entry
            j += 1
    if not (more_entries and entries):
        yield from events[i:]
    if not more_events:
        yield from entries[j:]


def _of_event(e: model.Event) -> list[Row]:
    """A change of state; an error, or what else was done."""
    told = {"timestamp": _time(e.ts), "message": e.detail}
    if e.state is None:
        kind = "error" if e.level in _LOUD else "progress"
        return [{"type": kind, "stage": e.stage, "level": e.level} | told]
    change = {"type": "state_change", "state": e.state, "level": e.level} | told
    if e.level == "error":
        return [{"type": "error", "stage": e.stage, "level": e.level} | told, change]
    return [change]


def _of_entry(entry: Entry) -> list[Row]:
    """A line, with what it means where an agent wrote it; or what was told without a line."""
    at = {"timestamp": _time(entry.ts)}
    if entry.n is None:
        return [_told(event) | at for event in entry.events if event["type"] not in _PLAIN]
    line: Row = {"type": "output", "n": entry.n, "stream": entry.stream, "line": entry.line} | at
    meant = [event for event in entry.events if event["type"] not in _PLAIN]
    return [line | ({"events": meant} if meant else {})]


def _time(ms: int) -> str:
    return clock.rfc3339(ms)


def _told(event: Row) -> Row:
    if event["type"] in _LOUD:
        words = {name: event[name] for name in ("code", "message") if name in event}
        return {"type": "error", "level": event["type"]} | words
    return {"type": "output", "n": None, "stream": None, "line": None, "events": [event]}
