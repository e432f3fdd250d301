"""What an execution told, wherever it lies by now: in Redis, in segments, in its packed record.

Readers get pages; nothing is held whole. A position is the number of an entry or event, whatever
moved meanwhile.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import zstandard

from knify import errors, model
from knify.core import Core
from knify.services import artifacts
from knify.store import codec, streams

_PAGE = 500
_KEPT = 8  # unpacked objects, of about 2 MiB each, that a process remembers
_LEVEL = 1  # of zstd: output comes faster than it would compress better

T = TypeVar("T")


class Aside(Protocol):
    """Runs what reads objects, out of the way of others (`api/aside.py`)."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """What `work` returns or raises."""


def here(work: Callable[[], T], /) -> T:
    """Just run it."""
    return work()


@dataclass(frozen=True, slots=True)
class Record:
    """A packed execution."""

    fields: dict[str, str]  # its hash, as it was
    events: list[model.Event]
    segments: list[streams.Segment]  # together all of its output
    metrics: list[str]  # points of what it took, as they were stored


def segment_key(execution_id: str, segment: streams.Segment) -> str:
    """The object of a part of the output. The name says what it holds: a repeat changes nothing."""
    return f"{artifacts.folder(execution_id)}/output/{segment}"


def record_key(execution_id: str) -> str:
    """The object of a packed execution."""
    return f"{artifacts.folder(execution_id)}/record"


def segment(
    core: Core, execution_id: str, part: streams.Segment, *, aside: Aside = here
) -> list[bytes]:
    """The entries of a part of the output, as they are stored. ObjectStoreError."""
    key = segment_key(execution_id, part)
    return cast(list[bytes], _cached(key, lambda: _read(core, key).splitlines(), aside))


def compress(data: bytes) -> bytes:
    """As segments and records are stored."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


def output(
    core: Core, execution_id: str, *, after: int = 0, most: int | None = None, aside: Aside = here
) -> Iterator[streams.Entry]:
    """The output entries behind number `after`; all, or at most `most` from one reading.

    Empty only when there are none now, however few one reading gives: it never crosses the end of
    an object. Since entries are numbered, the last k of an execution are those behind
    `x.entries - k`: earlier segments are not read. ObjectStoreError.
    """
    while found := page(core, execution_id, after=after, most=most or _PAGE, aside=aside)[0]:
        yield from found
        after = found[-1].seq
        if most is not None:
            return


def page(
    core: Core, execution_id: str, *, after: int, most: int, aside: Aside = here
) -> tuple[list[streams.Entry], bool]:
    """The same as a list, and whether there are probably more behind it."""
    seen = core.store.streams.look(execution_id, after=after, most=most)
    if seen.entries and seen.entries[0].seq == after + 1:
        return seen.entries, len(seen.entries) == most
    found = seen.segment
    if found is None and seen.packed:
        known = record(core, execution_id, aside=aside).segments
        found = next((one for one in known if one.last > after), None)
    if found is None:
        return seen.entries, len(seen.entries) == most
    lines = segment(core, execution_id, found, aside=aside)
    start = max(0, after + 1 - found.first)
    chosen = enumerate(lines[start : start + most], found.first + start)
    return [streams.entry(seq, line) for seq, line in chosen], True


def events(
    core: Core, execution_id: str, *, after: int = 0, most: int | None = None, aside: Aside = here
) -> Iterator[model.Event]:
    """The history behind event number `after`; all, or at most `most` from one reading."""
    while True:
        page, packed = core.store.streams.look_at_events(
            execution_id, after=after, most=most or _PAGE
        )
        if packed and not page:
            found = record(core, execution_id, aside=aside).events
            yield from found[after : None if most is None else after + most]
            return
        yield from page
        if most is not None or not page:
            return
        after = page[-1].n


def whole(core: Core, x: model.Execution, *, aside: Aside = here) -> model.Execution:
    """The execution with its request, spec and error in full. ObjectStoreError."""
    if not x.packed:
        return x
    full = codec.execution(record(core, x.id, aside=aside).fields)
    # A failed run that waited for its retry may have been cancelled since.
    return full.evolve(packed=True, files_expired_at=x.files_expired_at, state=x.state)


def record(core: Core, execution_id: str, *, aside: Aside = here) -> Record:
    """A packed execution's object. ObjectStoreError."""
    key = record_key(execution_id)
    return cast(Record, _cached(key, lambda: _parsed(_read(core, key)), aside))


def _read(core: Core, key: str) -> bytes:
    try:
        with core.objects.open(key) as reader:
            return zstandard.ZstdDecompressor().decompressobj().decompress(reader.read())
    except errors.ObjectMissing as missing:  # what has a record has its objects
        raise errors.ObjectStoreError(f"the object store has lost {key}") from missing
    except zstandard.ZstdError as damaged:
        raise errors.ObjectStoreError(f"the object {key} is damaged") from damaged


def _parsed(data: bytes) -> Record:
    stored = json.loads(data)
    return Record(
        fields=stored["fields"],
        events=[streams.event(n, fields) for n, fields in stored["events"]],
        segments=[streams.Segment.parse(text) for text in stored["segments"]],
        metrics=stored.get("metrics", []),
    )


_known: dict[str, Any] = {}
_lock = threading.Lock()


def _cached(key: str, load: Callable[[], Any], aside: Aside) -> Any:
    """What an object holds. It never changes; who pages through a segment reads it once."""
    with _lock:
        found = _known.pop(key, None)
        if found is not None:
            _known[key] = found  # the newest
            return found
    found = aside(load)
    with _lock:
        while len(_known) >= _KEPT:
            _known.pop(next(iter(_known)))
        _known[key] = found
    return found
