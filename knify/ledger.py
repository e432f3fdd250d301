"""What a followed command printed, on its way from the spool to the store.

A line is read once, since an adapter remembers what it was fed, and stored once, however often
Redis fails meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import redis

from knify import model, units
from knify.spool import Frame
from knify.store.executions import Executions
from knify.transcript import Chunk, Piece, Transcript

log = logging.getLogger(__name__)

_RETRY = 0.5  # seconds
Write = Callable[..., model.Execution]


class Ledger:
    """One execution's; lives in the event loop."""

    def __init__(
        self,
        store: Executions,
        transcript: Transcript,
        x: model.Execution,
        limit: int,
        thread: Callable[..., Awaitable[Any]],
    ) -> None:
        """`limit`: bytes of output that are kept; `thread` runs what blocks."""
        self._store = store
        self._transcript = transcript
        self._limit = limit
        self._thread = thread
        self._truncated = transcript.cost(x) >= 1  # and its history says so

    async def keep(self, x: model.Execution, pieces: list[Piece]) -> model.Execution:
        """Store these pieces behind what `x` has; the execution as it is then."""
        # In a thread: reading and encoding many lines takes long.
        chunk = await self._thread(self._transcript.chunk, x, pieces)
        x = await self._write(x.id, self._append, x, chunk)
        if not self._truncated and self._transcript.cost(x) >= 1:
            await self._write(x.id, self._note_truncation, x)
            self._truncated = True
        return x

    async def count(self, x: model.Execution, frames: list[Frame]) -> model.Execution:
        """Keep nothing of what is far beyond the limit, but notice a flood."""
        return await self._write(x.id, self._append, x, self._transcript.skip(x, frames))

    async def _write(self, name: str, write: Write, *arguments: Any) -> model.Execution:
        """While Redis is away, wait for it, as long as the lease holds."""
        while True:
            try:
                stored: model.Execution = await self._thread(write, *arguments)
                return stored
            except redis.RedisError as away:
                log.warning("%s: output waits for Redis: %s", name, away)
                await asyncio.sleep(_RETRY)

    def _append(self, x: model.Execution, chunk: Chunk) -> model.Execution:
        totals = {"lines": chunk.lines, "out": chunk.out, "err": chunk.err}
        told, tools = chunk.said, chunk.tools
        return self._store.append(x, chunk.entries, said=told, tools=tools, **totals)

    def _note_truncation(self, x: model.Execution) -> model.Execution:
        detail = f"more than {units.show_size(self._limit)} printed; the rest is not kept"
        return self._store.note(x, "output_truncated", detail, level="warning")
