"""A command's bytes as output entries: lines with the events that they stand for."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from knify import clock, disguises, masking, model
from knify.agents import base as agents
from knify.spool import Frame
from knify.steps import stamped
from knify.store import streams

log = logging.getLogger(__name__)

CHUNK = 2000  # lines in one call to Redis, each of which waits for the disk
_SHORTEST = 16  # bytes that a line counts at least: each is stored with its number, time and events
_TOOL = 100  # characters of a tool's name
R = TypeVar("R", bound=model.Record)
_STREAMS: dict[int, agents.Stream] = {1: "stdout", 2: "stderr"}


class Lines:
    """Cuts one stream's bytes into lines and counts the bytes of finished ones."""

    def __init__(
        self,
        consumed: int = 0,
        longest: int = agents.LINE,
        masks: masking.Masks = masking.NONE,
    ) -> None:
        """`consumed`: bytes of this stream that are stored already.

        A line beyond `longest` bytes is cut there. What `masks` finds is covered. Before what is
        new come `masks.context(consumed)` bytes of what is stored.
        """
        self.consumed = consumed
        self._longest = longest
        self._search = masking.Search(masks) if masks else None
        self._known = masks.context(consumed)  # bytes to come that were shown before
        self._origin = consumed - self._known  # where the search's stream begins in ours
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, str | None]]:
        """The lines that are complete now, without their newline, in pieces of at most agents.LINE.

        With a line's last piece comes the whole line, and `consumed` moves.
        """
        if self._search is not None:
            self._search.feed(data)
        data = self._new(data)
        self._rest += data
        if b"\n" in data or self._search is not None:
            yield from self._whole()
        while len(self._rest) > self._longest and self._is_decided(self._longest):
            part = bytes(self._rest[: self._longest])
            del self._rest[: self._longest]
            yield from self._pieces(part, newline=0)

    def skip(self, data: bytes) -> None:
        """Count bytes that nobody will read as lines."""
        self.consumed += len(self._rest) + len(self._new(data))
        self._rest.clear()

    def flush(self) -> Iterator[tuple[str, str | None]]:
        """What was held back, and what came behind the last newline."""
        if self._search is not None:
            self._search.finish()
            yield from self._whole()
        rest = bytes(self._rest)
        self._rest.clear()
        if rest:
            yield from self._pieces(rest, newline=0)

    def _new(self, data: bytes) -> bytes:
        """Without what was shown before."""
        new = data[self._known :]
        self._known -= len(data) - len(new)
        return new

    def _whole(self) -> Iterator[tuple[str, str | None]]:
        """The lines that are complete and whose secrets are all known."""
        held = len(self._rest)
        if self._search is not None:
            held = min(held, max(0, self._search.held - self.consumed + self._origin))
        end = self._rest.rfind(b"\n", 0, held)
        if end < 0:
            return
        whole = bytes(self._rest[:end])
        del self._rest[: end + 1]
        for line in whole.split(b"\n"):
            yield from self._pieces(line, newline=1)

    def _is_decided(self, size: int) -> bool:
        """Whether it is known what is covered of the rest's first bytes."""
        if self._search is None:
            return True
        behind = self._rest[size : size + agents.LINE].translate(None, disguises.BREAKS)
        held = self._search.held - self.consumed + self._origin
        return held >= size and len(behind) >= masking.HEAD - 1

    def _pieces(self, line: bytes, *, newline: int) -> Iterator[tuple[str, str | None]]:
        for at in range(0, max(len(line), 1), self._longest):  # as a rule once
            part = line[at : at + self._longest]
            size = len(part) + (newline if at + self._longest >= len(line) else 0)
            yield from self._shown(self._covered(part), size)

    def _covered(self, part: bytes) -> bytes:
        """With its secrets covered; it begins at `consumed`."""
        if self._search is None:
            return part
        at = self.consumed - self._origin
        shown = masking.covered(part, at, self._search.spans)
        self._search.drop(at + len(part))
        return shown

    def _shown(self, part: bytes, size: int) -> Iterator[tuple[str, str | None]]:
        last = max(len(part) - 1, 0) // agents.LINE * agents.LINE
        for at in range(0, last, agents.LINE):
            yield part[at : at + agents.LINE].decode("utf-8", "replace"), None
        self.consumed += size
        whole = part.decode("utf-8", "replace")
        yield (part[last:].decode("utf-8", "replace") if last else whole), whole


@dataclass(frozen=True, slots=True)
class Piece:
    """A line or a part of one, and how far both streams were read with it."""

    stream: agents.Stream
    text: str
    line: str | None  # with the last part: the whole line
    out: int  # bytes of stdout up to here
    err: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one call stores: entries as JSON, the totals behind them, and what is told by then."""

    entries: list[str]
    lines: int
    out: int
    err: int
    said: model.Said | None = None
    tools: tuple[int, str | None] | None = None  # how many were begun, and which is at work


class Transcript:
    """One turn's output on its way to the store."""

    def __init__(
        self,
        x: model.Execution,
        adapter: agents.Adapter,
        limit: int,
        masks: masking.Masks = masking.NONE,
    ) -> None:
        """`limit`: how many bytes of one execution's output are kept; `masks`: never shown."""
        read = {1: x.out_bytes, 2: x.err_bytes}
        self._lines = {n: Lines(read[n], adapter.longest, masks) for n in read}
        self._masks = masks
        self._adapter = adapter
        self._limit = limit

    def cut(self, frames: list[Frame]) -> Iterator[list[Piece]]:
        """Lines that are complete with these frames, in portions of at most CHUNK."""
        return _portions(
            self._piece(stream, *found)
            for stream, data in frames
            for found in self._lines[stream].feed(data)
        )

    def skip(self, x: model.Execution, frames: list[Frame]) -> Chunk:
        """Only count the bytes: what is not kept is not worth reading line by line."""
        for stream, data in frames:
            self._lines[stream].skip(data)
        return Chunk([], x.lines, self._lines[1].consumed, self._lines[2].consumed)

    def rest(self) -> Iterator[list[Piece]]:
        """What is left when nothing more comes."""
        return _portions(
            self._piece(stream, *found)
            for stream, lines in self._lines.items()
            for found in lines.flush()
        )

    def _piece(self, stream: int, text: str, line: str | None) -> Piece:
        read = self._lines[1].consumed, self._lines[2].consumed
        return Piece(_STREAMS[stream], text, line, *read)

    def cost(self, x: model.Execution) -> float:
        """How much of the limit is used, 1.0 is all of it; more is printed and not kept."""
        return self._cost(x.out_bytes + x.err_bytes, x.lines)

    def _cost(self, printed: int, lines: int) -> float:
        return max(printed, _SHORTEST * lines) / self._limit

    def chunk(self, x: model.Execution, pieces: list[Piece]) -> Chunk:
        """The pieces behind those that `x` has; without their lines once the limit is reached.

        To be called once for each: an adapter remembers what it was fed.
        """
        now, n = clock.now_ms(), x.lines
        tools = x.tool_calls, x.current_tool
        entries = []
        for piece in pieces:
            events, own = self._read(piece)
            if self._cost(piece.out + piece.err, n) >= 1:
                events, own = [event for event in events if event["type"] != "progress"], None
            n += own is not None
            tools = _tools(tools, events)
            text = _entry(now, events, n, piece.stream, own)
            if text is None and own is not None:  # an event that is no JSON
                text = _entry(now, [agents.progress(piece.stream, own)], n, piece.stream, own)
            if text is not None:
                entries.append(text)
        last = pieces[-1]
        return Chunk(entries, n, last.out, last.err, self._said, tools)

    def _read(self, piece: Piece) -> tuple[list[dict[str, Any]], str | None]:
        """The adapter's view of a line. Its bugs and a job's tricks end here."""
        try:
            whole = piece.line
            events = [] if whole is None else self._adapter.feed(piece.stream, whole)
            # Again: an adapter decodes and joins what stood in lines.
            return self._masks.clean(events), self._adapter.own_line(piece.stream, piece.text)
        except Exception:
            log.exception("a line of output could not be read")
            return [agents.progress(piece.stream, piece.text)], piece.text

    @property
    def _said(self) -> model.Said | None:
        """What the agent told, without its secrets: a taker goes on from what may be stored."""
        said = self._adapter.said
        return said and hidden(self._masks, said)


def hidden(masks: masking.Masks, record: R) -> R:
    """A record with the secrets in its texts covered."""
    if not masks:
        return record
    shown = {f.name: masks.clean(getattr(record, f.name)) for f in dataclasses.fields(record)}
    return record.evolve(**shown)


def _tools(before: tuple[int, str | None], events: list[dict[str, Any]]) -> tuple[int, str | None]:
    """How many tools were begun by now, and which one has not ended."""
    count, name = before
    for event in events:
        if event["type"] == "tool_use":
            count, name = count + 1, str(event.get("tool"))[:_TOOL]
        elif event["type"] == "tool_result":
            name = None
    return count, name


def _entry(
    now: int, events: list[dict[str, Any]], n: int, stream: str, own: str | None
) -> str | None:
    """One stored entry; None when there is nothing in it, or what is no JSON."""
    if own is None and not events:
        return None
    line = {"n": n, "stream": stream, "line": own} if own is not None else {}
    try:
        entry = streams.entry_json(now, stamped(events, now), **line)  # type: ignore[arg-type]
        return json.dumps(entry, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _portions(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Cut between lines only: what is stored ends with a line, and so does what a taker skips."""
    portion: list[Piece] = []
    for piece in pieces:
        portion.append(piece)
        if len(portion) >= CHUNK and piece.line is not None:
            yield portion
            portion = []
    if portion:
        yield portion
