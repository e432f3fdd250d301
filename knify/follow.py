"""Following one running command: its output to Redis, its deadlines, its end.

Nothing here blocks the loop: Redis is called in threads, and the sandbox's output goes through
a spool on disk, so that a slow Redis never stops an agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from knify import clock, errors, model, units
from knify.agents import base as agents
from knify.core import Core
from knify.sandbox import base as sandbox_base
from knify.spool import Frame, Lines, Spool
from knify.steps import stamped
from knify.store import streams
from knify.turn import Turn

log = logging.getLogger(__name__)

GRACE = 30.0  # seconds between SIGTERM and SIGKILL
_KILLED = 5.0  # seconds that a killed job gets to be reported
_RETRY = 0.5
_FLOOD = 16  # times the kept output; who prints more is stopped, for the disk's sake
_KILLED_CODE = 128 + 9  # what a shell says of a command that died by SIGKILL


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why we stop a command ourselves."""

    kind: str  # cancelled | timeout | hang
    error: str
    grace: float = GRACE


CANCELLED = Verdict("cancelled", "cancelled by request")


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


class Follow:
    """One execution that is followed."""

    def __init__(self, watcher: Surroundings, turn: Turn) -> None:
        assert turn.channel is not None
        assert turn.adapter is not None
        self.turn = turn
        self.task: asyncio.Task[None] | None = None
        self._watcher = watcher
        self._channel = turn.channel
        self._adapter = turn.adapter
        self._lines = {1: Lines(turn.x.out_bytes), 2: Lines(turn.x.err_bytes)}
        self._spool = Spool(watcher.core.settings.home / "spool")
        self._heard = asyncio.get_running_loop().time()
        self._verdict: Verdict | None = None
        self._stopping = asyncio.Event()
        self._limit = watcher.core.settings.output_bytes
        self._truncated = False

    def stop(self, verdict: Verdict) -> None:
        """End the command; the first reason counts."""
        if self._verdict is None:
            self._verdict = verdict
            self._stopping.set()

    async def to_the_end(self) -> tuple[model.Outcome, list[dict[str, Any]]]:
        """Store all output; how the command ended, and the adapter's closing events."""
        reader = asyncio.create_task(self._read())
        guard = asyncio.create_task(self._guard())
        try:
            if self.turn.x.cancel_requested_at:
                self.stop(CANCELLED)
            while frames := await self._spool.batch():
                await self._store(self._cut(frames))
            await self._store(
                [(stream, text) for stream, lines in self._lines.items() for text in lines.flush()]
            )
            await reader
            outcome = await self._outcome()
        finally:
            for task in (reader, guard):
                task.cancel()
            await asyncio.gather(reader, guard, return_exceptions=True)
            self._spool.close()
        return outcome, self._adapter.end(outcome)

    async def hang_up(self) -> None:
        """Leave the sandbox to itself."""
        with contextlib.suppress(errors.KnifyError, OSError):
            await self._channel.close()

    async def _read(self) -> None:
        """Sandbox → spool, never waiting for anything else."""
        try:
            async for stream, data in self._channel.frames():
                self._heard = asyncio.get_running_loop().time()
                await self._spool.write(int(stream), data)
        finally:
            await self._spool.finish()

    def _cut(self, frames: list[Frame]) -> list[tuple[int, str]]:
        return [
            (stream, text) for stream, data in frames for text in self._lines[stream].feed(data)
        ]

    async def _store(self, lines: list[tuple[int, str]]) -> None:
        """Spool → Redis; while Redis is away, wait for it as long as the lease holds."""
        if not lines:
            return
        x = self.turn.x
        printed = self._lines[1].consumed + self._lines[2].consumed
        full = printed > self._limit
        if printed > self._limit * _FLOOD:
            self.stop(Verdict("flood", f"printed more than {units.show_size(printed)}", grace=1.0))
        entries, n = ([], x.lines) if full else self._entries(lines)
        while True:
            try:
                x = self.turn.x = await self._watcher.thread(self._append, x, entries, n)
                if full and not self._truncated:
                    self._truncated = True
                    self.turn.x = await self._watcher.thread(self._note_truncation, x)
                return
            except redis.RedisError as away:
                log.warning("%s: output waits for Redis: %s", x.id, away)
                await asyncio.sleep(_RETRY)

    def _entries(self, lines: list[tuple[int, str]]) -> tuple[list[str], int]:
        """Output entries as JSON, and the number of raw lines after them."""
        now, n = clock.now_ms(), self.turn.x.lines
        entries = []
        for number, text in lines:
            stream: agents.Stream = "stdout" if number == 1 else "stderr"
            events = stamped(self._adapter.feed(stream, text), now)
            own = self._adapter.own_line(stream, text)
            if own is not None:
                n += 1
                entry = streams.entry_json(now, events, n=n, stream=stream, line=own)
            elif events:
                entry = streams.entry_json(now, events)
            else:
                continue
            text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
            entries.append(text.encode("utf-8", "replace").decode())  # an event may hold surrogates
        return entries, n

    def _append(self, x: model.Execution, entries: list[str], lines: int) -> model.Execution:
        store = self._watcher.core.store.executions
        out, err = self._lines[1].consumed, self._lines[2].consumed
        return store.append(x, entries, lines=lines, out=out, err=err)

    def _note_truncation(self, x: model.Execution) -> model.Execution:
        detail = f"more than {units.show_size(self._limit)} printed; the rest is not kept"
        store = self._watcher.core.store.executions
        return store.note(x, "output_truncated", detail, level="warning")

    async def _guard(self) -> None:
        """Wait for a reason to stop the command, then stop it, ever more firmly."""
        while self._verdict is None:
            due, verdict = self._deadline()
            left = due - asyncio.get_running_loop().time()
            if left <= 0:
                self.stop(verdict)
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(left, 3600))
        assert self._verdict is not None
        # At the command's end this task is cancelled.
        await self._signal("TERM", self._verdict.grace)
        await self._signal("KILL", _KILLED)
        while True:
            with contextlib.suppress(errors.SandboxError):
                await self._watcher.driver.stop(self.turn.container)
            await asyncio.sleep(_KILLED)

    async def _signal(self, name: str, seconds: float) -> None:
        """Signal the command and give it time; again while it had not begun to listen."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            unheard = self._channel.job_pid is None
            with contextlib.suppress(errors.SandboxError):
                await self._channel.signal(name)
            await asyncio.sleep(_RETRY if unheard else seconds)

    def _deadline(self) -> tuple[float, Verdict]:
        """The next moment at which the command has had its time (loop's clock), and why."""
        x = self.turn.x
        passed = (clock.now_ms() - (x.started_at or clock.now_ms())) / 1000
        end = asyncio.get_running_loop().time() + x.spec.timeout - passed
        timeout = Verdict("timeout", f"timed out after {x.spec.timeout:g} s")
        if x.spec.hang_timeout is None:
            return end, timeout
        silent = self._heard + x.spec.hang_timeout
        hang = Verdict("hang", f"printed nothing for {x.spec.hang_timeout:g} s")
        return min((end, timeout), (silent, hang), key=lambda pair: pair[0])

    async def _outcome(self) -> model.Outcome:
        end = self._channel.end
        code = end.exit_code if end else None
        if self._verdict is CANCELLED:
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
