"""Reading an execution's history and output: pages, never everything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from knify import model
from knify.store import executionkeys, keys
from knify.store.redis import Client

_PAGE = 500
_MOMENT = re.compile(rb'\{"t": ?([0-9]{1,15})[,}]')


@dataclass(frozen=True, slots=True)
class Entry:
    """One output entry: a raw line with its neutral events, or events alone."""

    seq: int  # 1…N among the entries
    ts: int
    n: int | None  # number of the raw line, 1…N among the lines; None without a line
    stream: str | None  # stdout | stderr
    line: str | None
    events: tuple[dict[str, Any], ...]  # in the neutral vocabulary, with type and timestamp


def entry_json(
    ts: int,
    events: Sequence[dict[str, Any]],
    *,
    n: int | None = None,
    stream: str | None = None,
    line: str | None = None,
) -> dict[str, Any]:
    """An output entry as it is stored; `Entry` without its number."""
    entry: dict[str, Any] = {"t": ts, "e": list(events)}
    if n is not None:
        entry |= {"n": n, "s": stream, "l": line}
    return entry


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the output that an object holds."""

    first: int  # number of its first entry
    last: int
    #: When its first and its last entry were made, ms; None: it was stored before that was noted.
    span: tuple[int, int] | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> Segment:
        """The inverse of `noted`."""
        numbers, _, span = text.partition("@")
        first, last = map(int, numbers.split("-"))
        if not span:
            return cls(first, last)
        begin, end = map(int, span.split("-"))
        return cls(first, last, (begin, end))

    def __str__(self) -> str:
        """As the object's key names it."""
        return f"{self.first}-{self.last}"

    @property
    def noted(self) -> str:
        """As Redis and packed records name it."""
        return f"{self}@{self.span[0]}-{self.span[1]}" if self.span else str(self)


@dataclass(frozen=True, slots=True)
class Look:
    """What one reading finds in Redis behind a position."""

    entries: list[Entry]  # perhaps not the next ones: those may be in an object
    segment: Segment | None  # the first one that holds anything behind the position
    packed: bool  # Redis holds no stream any more


def entry(seq: int, text: str | bytes) -> Entry:
    """An output entry from the JSON that is stored."""
    d = json.loads(text)
    return Entry(seq, d["t"], d.get("n"), d.get("s"), d.get("l"), tuple(d["e"]))


def moment(text: str | bytes) -> int:
    """When an entry was made, from the JSON that is stored, without reading all of it."""
    found = _MOMENT.match(text if isinstance(text, bytes) else text[:40].encode())
    return int(found[1]) if found else int(json.loads(text)["t"])


def event(n: int, fields: Mapping[str, str]) -> model.Event:
    """An event from what is stored."""
    return model.Event(
        n=n,
        ts=int(fields["ts"]),
        stage=fields["stage"],
        level=fields["level"],
        detail=fields["detail"],
        state=fields["state"] or None,
    )


class Streams:
    """Readers of what the scripts append, as far as Redis holds it; see `services/history.py`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def events(
        self, execution_id: str, *, after: int = 0, most: int | None = None
    ) -> Iterator[model.Event]:
        """The history behind event number `after`; all of it, or at most `most` in one read."""
        for n, fields in self._read(executionkeys.events(execution_id), after, most):
            yield event(n, fields)

    def look(self, execution_id: str, *, after: int, most: int) -> Look:
        """Output behind an entry, in one round trip.

        The stream is read first: what leaves it meanwhile is a segment when that is asked for.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.xrange(executionkeys.output(execution_id), f"({after}-0", "+", count=most)
        behind = executionkeys.segments(execution_id)
        pipe.zrangebyscore(behind, f"({after}", "+inf", start=0, num=1)
        pipe.hexists(keys.execution(execution_id), "row")
        rows, segments, packed = pipe.execute()
        entries = [entry(_number(entry_id), fields["d"]) for entry_id, fields in rows]
        return Look(entries, Segment.parse(segments[0]) if segments else None, packed)

    def newest(self, execution_id: str, *, before: int | None, most: int) -> list[Entry]:
        """The entries before a number (None: the end) that Redis holds, the newest first."""
        end = "+" if before is None else f"({before}-0"
        page = self._client.xrevrange(executionkeys.output(execution_id), end, "-", count=most)
        return [entry(_number(entry_id), fields["d"]) for entry_id, fields in page]

    def segments(self, execution_id: str) -> tuple[list[Segment], bool]:
        """The parts of the output that objects hold, and whether a packed record knows them."""
        pipe = self._client.pipeline(transaction=False)
        pipe.zrange(executionkeys.segments(execution_id), 0, -1)
        pipe.hexists(keys.execution(execution_id), "row")
        found, packed = pipe.execute()
        return [Segment.parse(text) for text in found], packed

    def last_output_at(self, execution_id: str) -> int | None:
        """When the newest entry of its output was made; None when Redis holds none."""
        newest = self._client.xrevrange(executionkeys.output(execution_id), count=1)
        return int(json.loads(newest[0][1]["d"])["t"]) if newest else None

    def look_at_events(
        self, execution_id: str, *, after: int, most: int
    ) -> tuple[list[model.Event], bool]:
        """Events behind a number, and whether Redis holds none of them any more."""
        pipe = self._client.pipeline(transaction=False)
        pipe.xrange(executionkeys.events(execution_id), f"({after}-0", "+", count=most)
        pipe.hexists(keys.execution(execution_id), "row")
        rows, packed = pipe.execute()
        return [event(_number(entry_id), fields) for entry_id, fields in rows], packed

    def output(
        self, execution_id: str, *, after: int = 0, most: int | None = None
    ) -> Iterator[Entry]:
        """The output entries behind number `after`; all, or at most `most` in one read."""
        for seq, fields in self._read(executionkeys.output(execution_id), after, most):
            yield entry(seq, fields["d"])

    def _read(self, key: str, after: int, most: int | None) -> Iterator[tuple[int, dict[str, str]]]:
        while True:
            page = self._client.xrange(key, f"({after}-0", "+", count=most or _PAGE)
            for entry_id, fields in page:
                after = _number(entry_id)
                yield after, fields
            if most is not None or len(page) < _PAGE:
                return


def _number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])
