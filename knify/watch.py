"""All commands that this process follows: taken over from the runner, given back to it at the end.

One event loop in one thread per worker process follows them all (`follow.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from knify import errors, leases, logs, model
from knify.core import Core
from knify.follow import Follow
from knify.metering import Meter
from knify.sandbox import base as sandbox_base
from knify.turn import Turn
from knify.verdict import BUDGET, CANCELLED, KILLED, Verdict

log = logging.getLogger(__name__)

_PAUSE_MS = 250  # before a broken line is tried again, more each time
_ATTEMPTS = 20
_NO_BUDGET = 5.0  # seconds that a command gets whose models answer no more
_MOVES = 2  # that write output into objects: a store that hangs must not take all threads


class Watcher:
    """All executions that this process follows. What is not `async` may come from any thread."""

    def __init__(
        self,
        core: Core,
        driver: sandbox_base.Driver,
        held: leases.Leases,
        loop: asyncio.AbstractEventLoop,
        threads: ThreadPoolExecutor,
    ) -> None:
        self.conclude: Callable[[Turn, model.Outcome, list[dict[str, Any]]], None]
        self.meter: Meter | None = None
        self._core = core
        self._driver = driver
        self._leases = held
        self._loop = loop
        self._threads = threads
        self._following: dict[str, Follow] = {}
        self._moves = asyncio.Semaphore(_MOVES)
        self._typing = set[asyncio.Task[None]]()  # a loop holds its tasks weakly

    def follow(self, turn: Turn) -> None:
        """Take a turn over from the runner."""
        self._loop.call_soon_threadsafe(self._begin, turn)

    def cancel(self, execution_id: str, *, force: bool = False) -> None:
        """Someone asked for cancellation, perhaps at once; nothing happens unless it is ours."""
        self._leases.cancel(execution_id)
        verdict = KILLED if force else CANCELLED
        self._loop.call_soon_threadsafe(self._stop, execution_id, verdict)

    def abandon(self, execution_id: str) -> None:
        """Its lease is lost: stop following, touch nothing."""
        self._loop.call_soon_threadsafe(self._abandon, execution_id)

    def overspent(self, execution_id: str, why: str) -> None:
        """Its budget is used up; nothing happens unless we follow it, or it is being stopped."""
        verdict = Verdict(BUDGET, f"{BUDGET}: {why}", grace=_NO_BUDGET)
        self._loop.call_soon_threadsafe(self._stop, execution_id, verdict)

    def typed(self, execution_id: str) -> None:
        """Somebody typed something; nothing happens unless we follow it."""
        self._loop.call_soon_threadsafe(self._give_typed, execution_id)

    def _give_typed(self, execution_id: str) -> None:
        follow = self._following.get(execution_id)
        if follow is not None:
            task = self._loop.create_task(follow.give_typed())
            self._typing.add(task)
            task.add_done_callback(self._typing.discard)

    def _begin(self, turn: Turn) -> None:
        # The task that it starts has the ids in its lines, too.
        with logs.about(execution=turn.x.id, sandbox=turn.x.sandbox_id or ""):
            self._take(turn)

    def _take(self, turn: Turn) -> None:
        try:
            follow = Follow(self, turn)
        except OSError as failed:
            log.warning("%s cannot be followed, it is given back: %s", turn.x.id, failed)
            self._threads.submit(self._give_back, turn, failed)
            return
        self._following[turn.x.id] = follow
        log.info("%s is followed by process %d of %s", turn.x.id, os.getpid(), turn.x.node)
        follow.task = self._loop.create_task(self._follow(follow))

    def _stop(self, execution_id: str, verdict: Verdict) -> None:
        follow = self._following.get(execution_id)
        if follow is not None:
            follow.stop(verdict)

    def _abandon(self, execution_id: str) -> None:
        follow = self._following.get(execution_id)
        if follow is not None and follow.task is not None:
            follow.task.cancel()

    async def _follow(self, follow: Follow) -> None:
        turn = follow.turn
        try:
            outcome, farewell = await follow.to_the_end()
        except (asyncio.CancelledError, errors.LeaseLost):
            log.warning("%s is no longer followed here", turn.x.id)
            self._leases.drop(turn.x.id)
            await follow.hang_up()
            return
        except Exception as failed:
            log.warning("following %s failed (%r), it is given back", turn.x.id, failed)
            await follow.hang_up()
            await self.thread(self._give_back, turn, failed)
            return
        finally:
            self._following.pop(turn.x.id, None)
        await self._look_last(turn)
        await self.thread(self.conclude, turn, outcome, farewell)

    async def _look_last(self, turn: Turn) -> None:
        found = self.meter.last(turn.x, turn.container) if self.meter else []
        if found and self.meter:
            with contextlib.suppress(errors.KnifyError, redis.RedisError):
                await self.thread(self.meter.keep, found)

    def _give_back(self, turn: Turn, failed: Exception) -> None:
        """Somebody, perhaps we, takes it over at once; not for ever, if that never works."""
        attempts = turn.x.attempts + 1
        if attempts > _ATTEMPTS:
            outcome = model.Outcome("monitor_lost", error=f"could not be followed: {failed!r:.200}")
            self.conclude(turn, outcome, [])
            return
        self._leases.drop(turn.x.id)
        try:
            delay = _PAUSE_MS * attempts
            self._core.store.executions.release(turn.x, delay_ms=delay, attempts=attempts)
            self._core.hints.advance(turn.x.id, turn.x.node or "")
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("%s: its lease runs out instead: %s", turn.x.id, failed)

    async def thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run what blocks."""
        return await self._loop.run_in_executor(self._threads, function, *arguments)

    @property
    def core(self) -> Core:
        """Store and settings."""
        return self._core

    @property
    def moves(self) -> asyncio.Semaphore:
        """How many may move output into objects at one time."""
        return self._moves

    @property
    def driver(self) -> sandbox_base.Driver:
        """The node's sandboxes."""
        return self._driver

    def turns(self) -> list[tuple[model.Execution, str]]:
        """What is followed, each with its container."""
        return [(f.turn.x, f.turn.container) for f in self._following.values()]

    async def measure(self) -> None:
        """Hold every command against its disk limit, one after the other."""
        for follow in list(self._following.values()):
            await follow.measure()

    async def stop(self) -> None:
        """Follow nothing any more: the commands go on, their leases are given back at once.

        What is given to `follow` afterwards is followed again.
        """
        follows = list(self._following.values())
        for follow in follows:
            if follow.task is not None:
                follow.task.cancel()
        for follow in follows:
            with contextlib.suppress(errors.KnifyError, redis.RedisError):
                await self.thread(self._core.store.executions.release, follow.turn.x)
