"""A stored stream, replayed and then followed, resumable at every frame: as server-sent events.

Those have `id:` and `data:` only, so that the plain `onmessage` of browsers sees all of them. What
has another `Style` is JSON, one object a line.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import flask
import redis

from api import auth, context, lines, shares, unread
from api.hub import Hub
from api.pages import Page, Position
from api.turns import Waiter
from knify import errors, model

HEARTBEAT_SECONDS = 15.0
_POSITION = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?")

log = logging.getLogger(__name__)

ALL_OF_IT = 10**9  # behind every event of an entry
START: Position = (0, ALL_OF_IT)
_NOBODY = unread.Reader(None)


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event; without `data` it only moves the position."""

    position: Position
    id: str
    data: dict[str, Any] | None
    last: bool = False  # nothing follows it

    def text(self) -> str:
        """As it goes over the wire. JSON escapes every line break, so it is one line."""
        if self.data is None:
            return ""
        return f"id: {self.id}\ndata: {json.dumps(self.data, separators=(',', ':'))}\n\n"


@dataclass(frozen=True, slots=True)
class Style:
    """How a stream looks on the wire."""

    mimetype: str
    frame: Callable[[Frame], str]
    comment: Callable[[str], str]  # what readers pass over


def _line(frame: Frame) -> str:
    """Without a position: who comes again begins anew."""
    return "" if frame.data is None else json.dumps(frame.data, separators=(",", ":")) + "\n"


SSE: Final = Style("text/event-stream", Frame.text, lambda words: f": {words}\n\n")
NDJSON: Final = Style("application/x-ndjson", _line, lambda _: "\n")


class Source(Protocol):
    """One execution's stored stream as frames."""

    x: model.Execution  # as it was when the request came
    newest: int  # number of its newest entry then
    kind: str  # which of the execution's streams
    dotted: bool  # ids are `entry.event` instead of `entry`
    style: Style

    def page(self, after: Position) -> tuple[Sequence[Frame], bool]:
        """Some frames behind `after`, in order, and whether there are probably more.

        Empty only when there are none now. The last one's position is behind its whole entry.
        """

    def over(self) -> bool:
        """Whether nothing will be added any more."""


def respond(source: Source, start: Position = START) -> flask.Response:
    """The stream from where the client was, else from `start`; 204 when it has seen the end."""
    after = position(dotted=source.dotted)
    after = start if after == START else after
    if after != START and after[0] > source.newest:
        raise _bad("Last-Event-ID is ahead of this stream")
    if after != START and source.x.completed_at is not None and not _left(source, after):
        return flask.Response(status=204)
    body = following(source, after, lines.of(flask.request.environ))
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return flask.Response(Placed(body), mimetype=source.style.mimetype, headers=headers)


def following(
    source: Source, after: Position, line: lines.Way | None
) -> Generator[str, None, bool]:
    """`follow` for whoever sent this request, as long as the key opens anything."""
    core, key = context.core(), context.key()
    return follow(
        context.hub(),
        source,
        after,
        allowed=lambda: auth.still_valid(core, key),
        client=unread.Reader(flask.request.environ.get("gunicorn.socket")),
        line=line,
    )


class Placed:
    """A stream's body, which holds one of its tenant's places until the server closes it."""

    def __init__(self, body: Iterator[str]) -> None:
        """StreamsBusy when all places are taken."""
        self._body = body
        self._tenant = context.tenant()
        self._places: shares.Shares | None = context.streams()
        self._places.take(self._tenant)

    def __iter__(self) -> Iterator[str]:
        return self._body

    def close(self) -> None:
        """Also called when nothing was ever read."""
        places, self._places = self._places, None
        if places is not None:
            places.give_back(self._tenant)
        cast(Generator[str, None, None], self._body).close()


def _left(source: Source, after: Position) -> bool:
    """Whether a stream that is over holds anything behind this position."""
    while frames := source.page(after)[0]:
        if any(frame.data is not None for frame in frames):
            return True
        after = frames[-1].position
    return False


def position(*, dotted: bool) -> Position:
    """From `Last-Event-ID`, which a reconnecting client sends, else from `?after=`."""
    asked = _position(flask.request.args.get("after", ""), dotted)
    header = flask.request.headers.get("Last-Event-ID")
    return asked if header is None else _position(header, dotted)


def _position(text: str, dotted: bool) -> Position:
    if text in ("", "0"):
        return START
    match = _POSITION.fullmatch(text)
    if match is None or (match[2] is not None and not dotted):
        raise _bad(f"not an event id of this stream: {text[:100]!r}")
    return int(match[1]), int(match[2]) if match[2] else ALL_OF_IT


def _bad(message: str) -> errors.BadRequest:
    return errors.BadRequest(message, detail={"field": "Last-Event-ID"})


def follow(
    hub: Hub,
    source: Source,
    after: Position,
    *,
    allowed: Callable[[], bool] = lambda: True,
    client: unread.Reader = _NOBODY,
    line: lines.Way | None = None,
) -> Generator[str, None, bool]:
    """Everything behind `after` as text, until the stream's end, or while Redis answers.

    It returns whether that was all that there will ever be.

    `allowed` is asked at each heartbeat: whether the client may. One that has taken nothing
    since the last one is told to come again; the worker drops it where even that finds no room.
    What is new for all who follow goes over `line`, past this iterator, where there is one.
    """
    comment = source.style.comment
    yield comment("stream")  # sent at once, so that the client knows that it is connected
    try:
        with hub.waiter(source.x.id) as waiter:
            return (yield from _follow(_Reader(hub, waiter, source, after, client, line), allowed))
    except (redis.RedisError, errors.KnifyError) as failed:
        log.warning("the stream of %s ends early: %s", source.x.id, failed)
        yield comment("ended early, connect again")
        return False


def _page(frames: Sequence[Frame], style: Style, turn: int, *, few: bool) -> Page | None:
    if not frames:
        return None
    text = "".join(map(style.frame, frames))
    return Page(text, frames[-1].position, frames[-1].last, turn, few)


class _Reader:
    """One client's way through its stream."""

    def __init__(
        self,
        hub: Hub,
        waiter: Waiter,
        source: Source,
        after: Position,
        client: unread.Reader,
        line: lines.Way | None,
    ) -> None:
        self.kind, self.after = source.kind, after
        self.source = source
        self.waiter = waiter
        self.client = client
        self.line = line
        self._ended = False  # nobody is there to take anything
        self.is_whole = False  # the last page was sent
        if line is not None:
            line.wake = waiter.wake
        self._pages = hub.pages

    def has_ended(self) -> bool:
        """Whether there is nothing more to do for this client."""
        return self._ended or self.is_whole or (self.line is not None and self.line.closed)

    def next(self) -> Page | None:
        """The same for this client alone, unless it is gone: it had to wait for its turn."""
        return self.read(alone=True)

    def read(self, *, alone: bool = False) -> Page | None:
        """What is behind its place."""
        key = (self.source.x.id, self.kind, self.after)
        known = self._pages.get(key)
        if known is not None:
            return known
        # A thousand clients woken at once shall not ask as often, nor one tenant's keep others.
        with self._pages.reading(self.source.x.tenant):
            if alone and self.client.is_gone():
                self._ended = True
                return None
            known, turn = self._pages.get(key), self.waiter.turn()
            if known is None:
                frames, more = self.source.page(self.after)
                known = _page(frames, self.source.style, turn, few=not more)
                # One that leads nowhere is for this client, now: kept, it would be read for ever.
                if known is not None and known.end != self.after:
                    self._pages.keep(key, known)
        return known

    def take(self, page: Page) -> bool:
        """See `turns.Live`."""
        self.after, self.is_whole = page.end, page.last
        whole = self.line is not None and self.line.send(page.text)
        return whole and not page.last

    def wait(self, seconds: float) -> None:
        """For a turn, or for what only this thread can do."""
        self.waiter.wait(seconds, self if self.line else None)
        if self.line:
            self.line.finish()


def _follow(reader: _Reader, allowed: Callable[[], bool]) -> Generator[str, None, bool]:
    over = reader.source.x.completed_at is not None
    comment = reader.source.style.comment
    beat = time.monotonic() + HEARTBEAT_SECONDS
    up_to_date = False
    while True:
        turn = reader.waiter.turn()
        while page := reader.next():
            reader.after = page.end
            if time.monotonic() >= beat:  # a stream that never rests
                if not allowed():
                    return False
                beat = time.monotonic() + HEARTBEAT_SECONDS
            if page.text:
                yield page.text
            if page.last:
                return True
            if up_to_date and page.complete(turn) and not over:
                break  # what came since then has a turn of its own, with all others
        up_to_date = True
        if over or reader.has_ended():
            return over or reader.is_whole
        reader.wait(beat - time.monotonic())
        if reader.has_ended():
            return reader.is_whole
        if time.monotonic() >= beat:
            if not allowed():
                return False
            if reader.client.idle() >= HEARTBEAT_SECONDS / 2:
                yield comment("too slow, connect again")
                return False
            yield comment("still here")
            over = reader.source.over()  # asked before the next reading: what is over is written
            beat = time.monotonic() + HEARTBEAT_SECONDS
