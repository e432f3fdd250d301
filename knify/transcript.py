"""A command's bytes as output entries: lines with the events that they stand for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from knify import clock, model
from knify.agents import base as agents
from knify.spool import Frame
from knify.steps import stamped
from knify.store import streams

log = logging.getLogger(__name__)

CHUNK = 2000  # lines in one call to Redis, each of which waits for the disk
_SHORTEST = 16  # bytes that a line counts at least: each is stored with its number, time and events
_STREAMS: dict[int, agents.Stream] = {1: "stdout", 2: "stderr"}


class Lines:
    """Cuts one stream's bytes into lines and counts the bytes of finished ones."""

    LONGEST = 64 * 1024  # bytes; a longer line comes in several pieces

    def __init__(self, consumed: int = 0) -> None:
        """`consumed`: bytes of this stream that are stored already."""
        self.consumed = consumed
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that are complete now, without their newline; `consumed` moves with each."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            yield from self._pieces(line, newline=1)
        while len(self._rest) > self.LONGEST:
            piece, self._rest = self._rest[: self.LONGEST], self._rest[self.LONGEST :]
            yield from self._pieces(piece, newline=0)

    def skip(self, data: bytes) -> None:
        """Count bytes that nobody will read as lines."""
        self.consumed += len(self._rest) + len(data)
        self._rest = b""

    def flush(self) -> Iterator[str]:
        """What came behind the last newline, if anything."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._pieces(rest, newline=0)

    def _pieces(self, line: bytes, *, newline: int) -> Iterator[str]:
        cuts = range(0, max(len(line), 1), self.LONGEST)
        for at in cuts:
            piece = line[at : at + self.LONGEST]
            self.consumed += len(piece) + (newline if at == cuts[-1] else 0)
            yield piece.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Piece:
    """A line, and how far both streams were read with it."""

    stream: agents.Stream
    text: str
    out: int  # bytes of stdout up to here
    err: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one call stores: entries as JSON, and the totals behind them."""

    entries: list[str]
    lines: int
    out: int
    err: int


class Transcript:
    """One turn's output on its way to the store."""

    def __init__(self, x: model.Execution, adapter: agents.Adapter, limit: int) -> None:
        """`limit`: how many bytes of one execution's output are kept."""
        self._lines = {1: Lines(x.out_bytes), 2: Lines(x.err_bytes)}
        self._adapter = adapter
        self._limit = limit

    def cut(self, frames: list[Frame]) -> Iterator[list[Piece]]:
        """Lines that are complete with these frames, in portions of at most CHUNK."""
        return _portions(
            self._piece(stream, text)
            for stream, data in frames
            for text in self._lines[stream].feed(data)
        )

    def skip(self, frames: list[Frame]) -> Chunk:
        """Only count the bytes: what is not kept is not worth reading line by line."""
        for stream, data in frames:
            self._lines[stream].skip(data)
        return Chunk([], -1, self._lines[1].consumed, self._lines[2].consumed)

    def rest(self) -> Iterator[list[Piece]]:
        """What is left when nothing more comes."""
        return _portions(
            self._piece(stream, text)
            for stream, lines in self._lines.items()
            for text in lines.flush()
        )

    def _piece(self, stream: int, text: str) -> Piece:
        return Piece(_STREAMS[stream], text, self._lines[1].consumed, self._lines[2].consumed)

    def cost(self, x: model.Execution) -> float:
        """How much of the limit is used, 1.0 is all of it; more is printed and not kept."""
        return self._cost(x.out_bytes + x.err_bytes, x.lines)

    def _cost(self, printed: int, lines: int) -> float:
        return max(printed, _SHORTEST * lines) / self._limit

    def chunk(self, x: model.Execution, pieces: list[Piece]) -> Chunk:
        """The pieces behind those that `x` has; without their lines once the limit is reached."""
        now, n = clock.now_ms(), x.lines
        entries = []
        for piece in pieces:
            events, own = self._read(piece)
            if self._cost(piece.out + piece.err, n) >= 1:
                events, own = [event for event in events if event["type"] != "progress"], None
            n += own is not None
            text = _entry(now, events, n, piece.stream, own)
            if text is None and own is not None:  # an event that is no JSON
                text = _entry(now, [agents.progress(piece.stream, own)], n, piece.stream, own)
            if text is not None:
                entries.append(text)
        last = pieces[-1]
        return Chunk(entries, n, last.out, last.err)

    def _read(self, piece: Piece) -> tuple[list[dict[str, Any]], str | None]:
        """The adapter's view of a line. Its bugs and a job's tricks end here."""
        try:
            events = self._adapter.feed(piece.stream, piece.text)
            return events, self._adapter.own_line(piece.stream, piece.text)
        except Exception:
            log.exception("a line of output could not be read")
            return [agents.progress(piece.stream, piece.text)], piece.text


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
    portion: list[Piece] = []
    for piece in pieces:
        portion.append(piece)
        if len(portion) == CHUNK:
            yield portion
            portion = []
    if portion:
        yield portion
