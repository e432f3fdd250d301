"""How much of a running command's output Redis holds: what is older moves into objects meanwhile.

While the object store is away or full the tail grows, to four times its size. Then storing waits
for the object store: output stays in the spool, and at last the command itself waits. The job
goes on where it was as soon as the store answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import redis

from knify import errors, model
from knify.core import Core
from knify.services import packing

log = logging.getLogger(__name__)

_MOST = 4  # times the tail; beyond it storing waits
_RETRY = 0.5, 5.0  # seconds between attempts, at first and at last


class Tail:
    """One execution's; lives in the event loop."""

    def __init__(
        self,
        core: Core,
        x: model.Execution,
        thread: Callable[..., Any],
        turns: asyncio.Semaphore,
    ) -> None:
        """`thread` runs what blocks; `turns` bounds how many of a process's tails do so at once."""
        self.waits = False  # storing waits for the object store
        self._core, self._id, self._fence = core, x.id, x.fence
        self._thread, self._turns = thread, turns
        self._size = x.tail_bytes
        self._limit = core.settings.output_tail_bytes
        self._part = min(packing.SEGMENT_BYTES, self._limit // 2)
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._warned = False

    async def add(self, size: int) -> None:
        """So many bytes were stored. Waits only while far too much is. Raises LeaseLost."""
        self._size += size
        if self._task is not None and self._task.done():
            self._task.result()
            self._task = None
        if self._size <= self._limit:
            return
        self._task = self._task or asyncio.create_task(self._shrink())
        try:
            while self._size > self._limit * _MOST and not self._task.done():
                self.waits = True
                self._moved.clear()
                moved = asyncio.create_task(self._moved.wait())
                await asyncio.wait((self._task, moved), return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
        finally:
            self.waits = False

    async def close(self) -> None:
        """What was begun may end by itself: it is fenced, and safe to repeat."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _shrink(self) -> None:
        pause = _RETRY[0]
        while self._size > self._limit - self._part:
            try:
                async with self._turns:
                    moved = await self._thread(
                        packing.spill, self._core, self._id, self._fence, self._part
                    )
            except (errors.ObjectStoreError, redis.RedisError) as away:
                await self._thread(self._warn, away)
                await asyncio.sleep(pause)
                pause = min(_RETRY[1], pause * 2)
                continue
            pause = _RETRY[0]
            # Nothing to move: the count was too high, by a script whose answer was lost.
            self._size = self._size - moved if moved else min(self._size, self._part)
            self._moved.set()

    def _warn(self, away: Exception) -> None:
        """Once in the job's history, each time in the log."""
        log.warning("%s: its output cannot move to the object store: %s", self._id, away)
        if self._warned or isinstance(away, redis.RedisError):
            return
        x = self._core.store.executions.find(self._id)
        if x is None or x.fence != self._fence:
            return
        with contextlib.suppress(errors.KnifyError, redis.RedisError):
            detail = "output waits for the object store, which does not take it"
            self._core.store.executions.note(x, "output_waits", detail, level="warning")
            self._warned = True
