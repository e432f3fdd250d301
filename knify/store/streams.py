"""Reading an execution's history and output, and listing executions: pages, never everything."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knify import model
from knify.store import codec, keys
from knify.store.redis import Client

_PAGE = 500


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

    @classmethod
    def parse(cls, text: str) -> Segment:
        """The inverse of `str`."""
        first, last = text.split("-")
        return cls(int(first), int(last))

    def __str__(self) -> str:
        """As Redis and the object's key name it."""
        return f"{self.first}-{self.last}"


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
        for n, fields in self._read(keys.events(execution_id), after, most):
            yield event(n, fields)

    def look(self, execution_id: str, *, after: int, most: int) -> Look:
        """Output behind an entry, in one round trip.

        The stream is read first: what leaves it meanwhile is a segment when that is asked for.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.xrange(keys.output(execution_id), f"({after}-0", "+", count=most)
        pipe.zrangebyscore(keys.segments(execution_id), f"({after}", "+inf", start=0, num=1)
        pipe.hexists(keys.execution(execution_id), "row")
        rows, segments, packed = pipe.execute()
        entries = [entry(_number(entry_id), fields["d"]) for entry_id, fields in rows]
        return Look(entries, Segment.parse(segments[0]) if segments else None, packed)

    def look_at_events(
        self, execution_id: str, *, after: int, most: int
    ) -> tuple[list[model.Event], bool]:
        """Events behind a number, and whether Redis holds none of them any more."""
        pipe = self._client.pipeline(transaction=False)
        pipe.xrange(keys.events(execution_id), f"({after}-0", "+", count=most)
        pipe.hexists(keys.execution(execution_id), "row")
        rows, packed = pipe.execute()
        return [event(_number(entry_id), fields) for entry_id, fields in rows], packed

    def output(
        self, execution_id: str, *, after: int = 0, most: int | None = None
    ) -> Iterator[Entry]:
        """The output entries behind number `after`; all, or at most `most` in one read."""
        for seq, fields in self._read(keys.output(execution_id), after, most):
            yield entry(seq, fields["d"])

    def _read(self, key: str, after: int, most: int | None) -> Iterator[tuple[int, dict[str, str]]]:
        while True:
            page = self._client.xrange(key, f"({after}-0", "+", count=most or _PAGE)
            for entry_id, fields in page:
                after = _number(entry_id)
                yield after, fields
            if most is not None or len(page) < _PAGE:
                return


@dataclass(frozen=True, slots=True)
class Page:
    """Some executions of a list, newest first."""

    executions: list[model.Execution]
    total: int
    total_is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a record must hold beside its place in the indexes."""

    job_type: str | None
    metadata: Mapping[str, str]

    def holds(self, job_type: str | None, metadata: str | None) -> bool:
        if job_type is None or self.job_type not in (None, job_type):
            return False
        found = json.loads(metadata or "{}") if self.metadata else {}
        return all(_as_text(found.get(name)) == text for name, text in self.metadata.items())


class Listing:
    """Lists of a tenant's executions from the indexes."""

    #: How many records a combination of filters may look at.
    SCAN = 10_000

    def __init__(self, client: Client) -> None:
        self._client = client

    def page(
        self,
        tenant: str,
        *,
        states: Sequence[str] = (),
        job_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page:
        """Executions newest first. `states` empty: any. Times in ms, exclusive.

        `metadata`: values as text, compared with the user's texts, numbers and booleans.
        With metadata, or states and type together, `total` is exact up to SCAN candidates.
        """
        indexes = [keys.executions(tenant, state=state) for state in states]
        indexes = indexes or [keys.executions(tenant, job_type=job_type)]
        low = f"({created_after}" if created_after is not None else "-inf"
        high = f"({created_before}" if created_before is not None else "+inf"
        if metadata or (states and job_type):
            wanted = _Wanted(job_type if states else None, metadata or {})
            return self._filtered(indexes, low, high, wanted, offset, limit)
        pipe = self._client.pipeline(transaction=False)
        for index in indexes:
            pipe.zcount(index, low, high)
            pipe.zrevrangebyscore(index, high, low, start=0, num=offset + limit, withscores=True)
        answers = pipe.execute()
        newest = heapq.nlargest(
            offset + limit, (pair for found in answers[1::2] for pair in found), key=_by_time
        )
        return Page(self._records([name for name, _ in newest[offset:]]), sum(answers[::2]))

    def _filtered(
        self, indexes: list[str], low: str, high: str, wanted: _Wanted, offset: int, limit: int
    ) -> Page:
        found = [
            pair
            for index in indexes
            for pair in self._client.zrevrangebyscore(
                index, high, low, start=0, num=self.SCAN, withscores=True
            )
        ]
        newest = [name for name, _ in heapq.nlargest(self.SCAN, found, key=_by_time)]
        hits = [name for name, row in self._rows(newest) if wanted.holds(*row)]
        page = self._records(hits[offset : offset + limit])
        return Page(page, len(hits), total_is_estimate=len(found) >= self.SCAN)

    def _rows(self, names: list[str]) -> Iterator[tuple[str, list[str | None]]]:
        """Type and metadata of each, a page of them per round trip."""
        for start in range(0, len(names), _PAGE):
            pipe = self._client.pipeline(transaction=False)
            part = names[start : start + _PAGE]
            for name in part:
                pipe.hmget(keys.execution(name), "job_type", "metadata", "row")
            for name, (job_type, metadata, row) in zip(part, pipe.execute(), strict=True):
                packed = json.loads(row) if row else {}
                yield name, [packed.get("job_type", job_type), packed.get("metadata", metadata)]

    def _records(self, names: list[str]) -> list[model.Execution]:
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(keys.execution(name))
        found = pipe.execute() if names else []
        return [codec.execution(fields) for fields in found if codec.is_there(fields)]


def _number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def _by_time(pair: tuple[str, float]) -> tuple[float, str]:
    return pair[1], pair[0]


def _as_text(value: Any) -> str | None:
    """A scalar as a query parameter writes it; None for what cannot be searched."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None
