"""What an object store can do; the folder and S3 do it alike.

An object appears only when it is complete. Nothing is held whole in memory. Keys are made by
Knify itself, never from a user's file name.
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from knify import errors

CHUNK = 256 * 1024  # bytes read or written at a time
SPAN = 1024**2  # bytes of one reading of a large object that is sent on
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what an OSError says without room
MAX_KEY = 900  # bytes; S3 allows 1,024 with the prefix

_SEGMENT = re.compile(r"[A-Za-z0-9._=@-]{1,200}")

Chunks = Iterable[bytes] | BinaryIO
Translate = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Stored:
    """What `put` wrote."""

    key: str
    size: int  # bytes
    sha256: str  # hex


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of one object."""

    key: str
    size: int  # bytes
    sha256: str  # hex
    modified_at: int  # ms since the epoch


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a listing."""

    key: str
    size: int  # bytes
    modified_at: int  # ms since the epoch


class Source(Protocol):
    """What a Reader draws from: an open file or an HTTP body."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""

    def close(self) -> None:
        """Free what lies behind it."""


class Reader:
    """A stream of exactly `size` bytes: iterate it, or `read`; close it, or use `with`."""

    def __init__(self, source: Source, size: int, translate: Translate) -> None:
        """`translate` turns the back end's own exceptions into ObjectStoreError."""
        self.size = size
        self._source = source
        self._left = size
        self._translate = translate

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (all that is left when negative); empty at the end.

        ObjectStoreError when the object ends early.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        parts = []
        while wanted:
            part = self._read_some(wanted)
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def _read_some(self, wanted: int) -> bytes:
        with self._translate():
            part = self._source.read(wanted)
        if not part:
            raise errors.ObjectStoreError(f"the object ended {self._left} bytes early")
        self._left -= len(part)
        return part

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of at most CHUNK bytes; closes at the end."""
        with self:
            while part := self.read(CHUNK):
                yield part

    def close(self) -> None:
        """Free what lies behind it; may be called twice."""
        self._source.close()

    def __enter__(self) -> Self:
        """Closed on leaving."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


class Sink(Protocol):
    """Where an object's bytes go; it appears when the block around it has ended well."""

    def write(self, data: bytes, /) -> int:
        """Take all of it. ObjectStoreError, StorageFull."""

    def flush(self) -> None:
        """Nothing to be done."""


class ObjectStore(Protocol):
    """A place for objects. Every call may raise ObjectStoreError."""

    def put(self, key: str, chunks: Chunks) -> Stored:
        """Store all of `chunks` under `key`, replacing what was there.

        Until the last byte is safe, readers see what was there before; what `chunks` raises
        passes through, and nothing is stored.
        """

    def writing(self, key: str) -> AbstractContextManager[Sink]:
        """The same for who has to push: what the block raises passes, and nothing is stored."""

    def open(self, key: str, start: int = 0, end: int | None = None) -> Reader:
        """Bytes `start` up to, not including, `end`, clipped to the object; ObjectMissing."""

    def stat(self, key: str) -> Stat:
        """Size, checksum and age; ObjectMissing."""

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """All objects below the folder `prefix` (whole segments), in no certain order."""

    def delete(self, key: str) -> None:
        """Remove it; what is not there is removed already."""

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects below the folder `prefix`; how many there were."""

    def check(self) -> None:
        """Cheap and quick: whether the store answers and lets us in."""


def check_key(key: str) -> str:
    """The key itself; BadRequest unless it is segments of `A-Za-z0-9._=@-` joined by `/`.

    No key may be the folder of another one: a folder cannot hold both.
    """
    for segment in key.split("/"):
        if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
            raise errors.BadRequest(f"not an object key: {key[:200]!r}")
    if len(key) > MAX_KEY:
        raise errors.BadRequest(f"an object key has at most {MAX_KEY} characters")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix without its closing slash; like a key, or empty for everything."""
    prefix = prefix.removesuffix("/")
    return check_key(prefix) if prefix else ""


def chunks_of(source: Chunks) -> Iterator[bytes]:
    """The bytes of an iterable or of anything with `read`, in pieces of at most CHUNK."""
    read = getattr(source, "read", None)
    pieces: Iterable[bytes] = iter(lambda: read(CHUNK), b"") if callable(read) else source
    for piece in pieces:
        for start in range(0, len(piece), CHUNK):
            yield piece[start : start + CHUNK]


def clip(size: int, start: int, end: int | None) -> tuple[int, int]:
    """The range as (first, behind the last) byte within an object of `size` bytes."""
    if start < 0 or (end is not None and end < start):
        raise errors.BadRequest(f"not a range of bytes: {start} to {end}")
    behind = size if end is None else min(end, size)
    return min(start, behind), behind


def spans(store: ObjectStore, key: str, first: int, behind: int) -> Iterator[bytes]:
    """Those bytes of an object that does not change, at most SPAN at a time.

    Nothing is open between two of them, so each may be taken in another thread, and by a reader
    who may never come back. ObjectMissing; ObjectStoreError when it is shorter.
    """
    for start in range(first, behind, SPAN):
        end = min(start + SPAN, behind)
        with store.open(key, start, end) as reader:
            piece = reader.read()
        if len(piece) != end - start:
            raise errors.ObjectStoreError(f"the object {key} is too short")
        yield piece


class Tally:
    """Counts and hashes what passes."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> bytes:
        """The piece itself."""
        self.size += len(piece)
        self._hash.update(piece)
        return piece

    def stored(self, key: str) -> Stored:
        """What was counted so far, as the answer of a `put`."""
        return Stored(key, self.size, self._hash.hexdigest())
