"""Following one running command: its output to Redis, its deadlines, its end.

Nothing here blocks the loop: Redis is called in threads, and the sandbox's output goes through
a spool on disk, so that a slow Redis never stops an agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import redis

from knify import errors, masking, model, units
from knify.core import Core
from knify.ledger import Ledger
from knify.sandbox import base as sandbox_base
from knify.signals import Signals
from knify.spool import Frame, Spool
from knify.tail import Tail
from knify.transcript import Piece, Transcript, hidden
from knify.turn import Turn
from knify.typist import Typist
from knify.verdict import CANCELLED, LINGERED, Verdict

log = logging.getLogger(__name__)

_KILLED = 5.0  # seconds that a killed job gets to be reported
_RETRY = 0.5
_NOTED = 10.0  # seconds that a stop waits for Redis to take down its reason
_FLOOD = 2  # times the kept output; who prints more is stopped, for the disk's sake
_FLOODED = "flood"
_LINGER = 10.0  # seconds that an agent has to exit after its last word
_KILLED_CODE = 128 + 9  # what a shell says of a command that died by SIGKILL


class Surroundings(Protocol):
    """What the followed command's process offers."""

    @property
    def core(self) -> Core:
        """Store and settings."""

    @property
    def driver(self) -> sandbox_base.Driver:
        """The node's sandboxes."""

    async def thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run what blocks."""

    @property
    def moves(self) -> asyncio.Semaphore:
        """How many may move output into objects at one time."""


class Follow:
    """One execution that is followed."""

    def __init__(self, watcher: Surroundings, turn: Turn) -> None:
        assert turn.channel is not None
        assert turn.adapter is not None
        settings = watcher.core.settings
        self.turn = turn
        self.task: asyncio.Task[None] | None = None
        self._watcher = watcher
        self._channel = turn.channel
        self._signals = Signals(turn.channel)
        self._typist = Typist(turn.channel, watcher.core.store.typed, watcher.thread)
        self._adapter = turn.adapter
        self._masks = turn.masks or masking.NONE
        self._transcript = Transcript(turn.x, turn.adapter, settings.output_bytes, self._masks)
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._end = self._loop.time() + turn.x.spec.timeout
        self._verdict: Verdict | None = None
        self._stopping = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        if (before := turn.x.stopping) is not None:  # by an owner who died over it
            self._verdict, self._signals.sent = Verdict(before.kind, before.error or ""), True
            self._stopping.set()  # perhaps before it had told the command
        self._spool = Spool(settings.home / "spool")
        self._ledger = Ledger(
            watcher.core.store.executions,
            self._transcript,
            turn.x,
            settings.output_bytes,
            watcher.thread,
        )
        self._tail = Tail(watcher.core, turn.x, watcher.thread, watcher.moves)

    def stop(self, verdict: Verdict) -> None:
        """End the command; the first reason counts, and any may leave it no time."""
        if verdict.grace == 0:
            self._signals.hurry()
        if self._verdict is None:
            self._verdict = verdict
            self._stopping.set()

    async def to_the_end(self) -> tuple[model.Outcome, list[dict[str, Any]]]:
        """Store all output; how the command ended, and the adapter's closing events."""
        reader = asyncio.create_task(self._read())
        guard = asyncio.create_task(self._guard(reader))
        try:
            if self.turn.x.cancel_requested_at:
                self.stop(CANCELLED)
            self._stop_flood()  # of which its last owner died
            self._let_linger()
            while frames := await self._spool.batch():
                if self._transcript.cost(self.turn.x) >= 1:
                    await self._store(self._ledger.count(self.turn.x, frames))
                    continue
                for pieces in await self._cut(frames):
                    await self._store(self._ledger.keep(self.turn.x, pieces))
            for pieces in self._transcript.rest():
                await self._store(self._ledger.keep(self.turn.x, pieces))
            await asyncio.wait({reader})
            if not reader.cancelled():
                reader.result()
            outcome = await self._outcome()
        finally:
            for task in (reader, guard):
                task.cancel()
            await asyncio.gather(reader, guard, return_exceptions=True)
            await self._tail.close()
            self._spool.close()
        outcome = self._adapter.judge(outcome)
        farewell = self._masks.clean(self._adapter.end(outcome))
        return hidden(self._masks, outcome), farewell

    async def give_typed(self) -> None:
        """What somebody typed is no silence; a shell that does not take it is at its end."""
        if not self.turn.x.lines:  # it takes nothing before it has greeted
            return
        try:
            if await self._typist.deliver(self.turn.x):
                self._heard = self._loop.time()
        except errors.SandboxError as failed:
            self.stop(Verdict("error", f"it does not take what is typed: {failed.message}"))
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("%s: what was typed waits: %s", self.turn.x.id, failed)

    async def measure(self) -> None:
        """Stop the command when its files take more than it was given."""
        limit = self.turn.x.spec.resources.disk
        try:
            used = await self._watcher.driver.usage(self.turn.x.sandbox_id or "", limit)
        except (errors.KnifyError, OSError) as failed:
            log.warning("%s: its files were not measured: %s", self.turn.x.id, failed)
            return
        if used > limit:
            error = f"used more than its disk limit of {units.show_size(limit)}"
            self.stop(Verdict("disk_full", error, grace=1.0))

    async def hang_up(self) -> None:
        """Leave the sandbox to itself."""
        with contextlib.suppress(errors.KnifyError, OSError):
            await self._channel.close()

    async def _read(self) -> None:
        """Sandbox → spool, never waiting for anything else."""
        try:
            async for stream, data in self._channel.frames():
                self._heard = self._loop.time()
                await self._spool.write(int(stream), data)
        finally:
            await self._spool.finish()

    async def _cut(self, frames: list[Frame]) -> Iterable[list[Piece]]:
        """Lines with what must not be shown covered: in a thread, since looking for that takes."""
        if not self._masks:
            return self._transcript.cut(frames)
        cut: list[list[Piece]] = await self._watcher.thread(
            lambda: list(self._transcript.cut(frames))
        )
        return cut

    async def _store(self, storing: Awaitable[model.Execution]) -> None:
        """Spool → Redis."""
        before, lines = self.turn.x.tail_bytes, self.turn.x.lines
        self.turn.x = await storing
        await self._tail.add(self.turn.x.tail_bytes - before)
        if not lines:
            await self.give_typed()
        self._stop_flood()
        self._let_linger()

    def _let_linger(self) -> None:
        """Once an agent has told how it ended, it has a while to exit by itself."""
        said = self._adapter.said
        if said is not None and said.verdict and self._lingering is None:
            self._lingering = self._loop.call_later(_LINGER, self.stop, LINGERED)

    def _stop_flood(self) -> None:
        printed = self.turn.x.out_bytes + self.turn.x.err_bytes
        if printed > self._watcher.core.settings.output_bytes * _FLOOD:
            error = f"printed more than {units.show_size(printed)}"
            self.stop(Verdict(_FLOODED, error, grace=1.0))

    async def _guard(self, reader: asyncio.Task[None]) -> None:
        """Wait for a reason to stop the command, then stop it, ever more firmly."""
        self._end -= await self._watcher.thread(self._passed)
        if self._end < self._loop.time():  # taken over late: it may have ended in time
            await asyncio.sleep(_RETRY)
        while not self._stopping.is_set():
            due, verdict = self._deadline()
            left = due - self._loop.time()
            if left <= 0:
                self.stop(verdict)
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, 3600)):  # `wait_for` may lose a cancellation
                    await self._stopping.wait()
        if self._verdict is None:  # it had ended in time, as was found meanwhile
            return
        await self._note_stop(self._verdict)
        # At the command's end this task is cancelled.
        await self._signals.ask(self._verdict.grace)
        if self._verdict.kind == _FLOODED:
            await self._end_by_force()
            reader.cancel()  # nothing of the rest would be kept, and gigabytes take minutes
            return
        await self._signals.make(_KILLED)
        while self._channel.end is None:
            await self._end_by_force()
            await asyncio.sleep(_KILLED)

    async def _end_by_force(self) -> None:
        self._signals.sent = True
        with contextlib.suppress(errors.SandboxError):
            await self._watcher.driver.stop(self.turn.container)

    def _passed(self) -> float:
        """Seconds since the command was started, by the clock that wrote it down: Redis's."""
        started = self.turn.x.started_at
        try:
            now = self._watcher.core.store.registry.now_ms()
        except redis.RedisError:
            return 0.0
        return max(0.0, (now - started) / 1000) if started else 0.0

    async def _note_stop(self, verdict: Verdict) -> None:
        """Who takes over must know why the command ended: it was told to, by a dead process."""
        store = self._watcher.core.store.executions
        why = model.Outcome(verdict.kind, error=verdict.error)
        end = self._loop.time() + _NOTED
        while True:
            try:
                await self._watcher.thread(lambda: store.note(self.turn.x, "", "", stopping=why))
                return
            except redis.RedisError as away:
                if self._loop.time() > end:
                    log.warning("%s is stopped and Redis knows no reason: %s", self.turn.x.id, away)
                    return
            await asyncio.sleep(_RETRY)

    def _deadline(self) -> tuple[float, Verdict]:
        """The next moment at which the command has had its time (loop's clock), and why."""
        limits = self.turn.x.spec
        timeout = Verdict("timeout", f"timed out after {limits.timeout:g} s")
        if limits.hang_timeout is None:
            return self._end, timeout
        if self._tail.waits:  # it is kept from printing
            self._heard = self._loop.time()
        silent = self._heard + limits.hang_timeout
        hang = Verdict("hang", f"printed nothing for {limits.hang_timeout:g} s")
        return min((self._end, timeout), (silent, hang), key=lambda pair: pair[0])

    async def _outcome(self) -> model.Outcome:
        end = self._channel.end
        code = end.exit_code if end else None
        in_time = end is not None and end.marker and not self._signals.sent
        if in_time:  # it had ended by itself before anyone stopped it
            self._verdict = None
        if self._verdict is not None and self._verdict.kind == CANCELLED.kind:
            return model.Outcome("cancelled", code, await self._cancel_reason())
        if self._verdict is not None:
            return model.Outcome(self._verdict.kind, code, self._verdict.error)
        status = await self._watcher.driver.inspect(self.turn.container)
        starved = status is not None and bool(status.oom_killed or status.oom_kills)
        limit = units.show_size(self.turn.x.spec.resources.memory)
        if starved and (code == _KILLED_CODE or end is None or not end.marker):
            return model.Outcome("oom_killed", code, f"killed by its memory limit of {limit}")
        if end is None or not end.marker:
            return model.Outcome("monitor_lost", code, "the sandbox ended under the command")
        error = None if code == 0 else f"exited with code {code}"
        if error and starved:
            error += f"; its memory limit of {limit} killed a process"
        return model.Outcome("exited", code, error)

    async def _cancel_reason(self) -> str:
        find = self._watcher.core.store.executions.find
        x = await self._watcher.thread(find, self.turn.x.id)
        return (x.cancel_reason if x else None) or CANCELLED.error
