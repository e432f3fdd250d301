"""A sandbox's output on its way to Redis: a bounded file, so that reading never waits.

conmon stops a container whose reader is slow. The reader therefore writes here, whatever Redis
does, and another task drains it. Frames are lost with the process: the container's own log still
has them, and the next owner continues behind the last byte that Redis stored.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("<BI")  # stream (1 or 2), length
_BATCH = 256 * 1024
_SEGMENT = 16 * 1024**2  # bytes of one file; a read one is freed whole
_FULL_DISK = 0.5  # seconds until writing is tried again

log = logging.getLogger(__name__)

Frame = tuple[int, bytes]  # (1 for stdout or 2 for stderr, bytes)


@dataclass(slots=True)
class _Segment:
    """A part of the spool: an unlinked file, so there is nothing to clean up after a crash."""

    file: int
    written: int = 0
    read: int = 0


class Spool:
    """One writer, one reader, in one event loop."""

    def __init__(self, folder: Path, *, limit: int = 256 * 1024**2) -> None:
        """`limit`: bytes that may wait; beyond it the writer waits too."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._limit = limit
        self._segments: deque[_Segment] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = asyncio.Condition()

    async def write(self, stream: int, data: bytes) -> None:
        """Append a frame; waits only while the spool or the disk is full."""
        if self._waiting > self._limit:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting < self._limit // 2)
        frame = _HEADER.pack(stream, len(data)) + data
        while not self._append(frame):
            await asyncio.sleep(_FULL_DISK)
        self._waiting += len(frame)
        await self._notify()

    def _append(self, frame: bytes) -> bool:
        """False when the disk is full; nothing is half-written then."""
        try:
            if not self._segments or self._segments[-1].written > _SEGMENT:
                self._segments.append(_Segment(self._create()))
            segment = self._segments[-1]
            if os.pwrite(segment.file, frame, segment.written) < len(frame):
                return False
        except OSError as failed:
            log.warning("output waits, the spool cannot be written: %s", failed)
            return False
        segment.written += len(frame)
        return True

    def _create(self) -> int:
        # Where the file system can do it, it never has a name: who dies here leaves nothing.
        with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
            return os.dup(file.fileno())

    async def finish(self) -> None:
        """The writer is done."""
        self._closed = True
        await self._notify()

    async def batch(self) -> list[Frame]:
        """The next frames, about a quarter MiB of them; empty at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._waiting > 0)
        if not self._waiting:
            return []
        segment = self._segments[0]
        data = os.pread(segment.file, min(_BATCH, segment.written - segment.read), segment.read)
        frames = list(_frames(data))
        size = sum(_HEADER.size + len(payload) for _, payload in frames)
        segment.read += size
        self._waiting -= size
        if segment.read == segment.written and segment.written > _BATCH:
            os.close(self._segments.popleft().file)
        await self._notify()
        return frames

    def close(self) -> None:
        """Free what is left."""
        while self._segments:
            os.close(self._segments.popleft().file)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _frames(data: bytes) -> Iterator[Frame]:
    """The whole frames at the beginning of `data`; frames are smaller than a batch."""
    at = 0
    while at + _HEADER.size <= len(data):
        stream, length = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        if start + length > len(data):
            return
        yield stream, data[start : start + length]
        at = start + length
