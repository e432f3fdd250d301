"""Errands: short commands of ours in a sandbox, before a job's own command or behind it.

One is a turn of the supervisor like the job's, under a name and a secret of its own, so nothing
takes it for the job. Whoever dies over one leaves a running sandbox: the next owner stops it and
begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from knify import errors, ids
from knify.agents import base as agents
from knify.sandbox import base as sandbox_base
from knify.turn import Hands, Turn

_POLL: Final = 0.5  # seconds between two checks
_LAST: Final = 8 * 1024  # bytes of each stream that are kept
_MOST: Final = 1024**2  # bytes that it may print besides what a sink takes
_DYING: Final = 5.0

Sink = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done."""

    name: str  # a plain word
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    sink: Sink | None = None  # gets its standard output; what it raises ends it


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended, and the last of what it printed."""

    code: int | None  # None: the sandbox ended under it
    out: str
    err: str


def script(text: str, name: str) -> tuple[str, ...]:
    """The command that runs a script of ours in any image."""
    return (agents.BUSYBOX, "sh", "-c", text, name)


def run(hands: Hands, turn: Turn, errand: Errand, check: Callable[[], None]) -> Done:
    """Run it to its end. `check` is called twice a second; what it raises is raised here.

    SandboxError when it cannot be run, or its sandbox fails. Whoever gets an error stops the
    sandbox: the errand may still run there.
    """
    assert turn.channel is not None
    nonce = ids.nonce()
    order = sandbox_base.Turn(
        execution=f"{turn.x.id}.{errand.name}.{nonce[:16]}",
        nonce=nonce,
        argv=errand.argv,
        env=errand.env,
    )
    if not hands.guarded(turn, turn.channel.run(order)):
        raise errors.SandboxError(f"the sandbox says that it ran {order.execution} before")
    reader = _Reader(turn.channel, errand.sink)
    hands.call(reader.start())
    try:
        while not hands.call(reader.wait(_POLL)):
            check()
    finally:
        hands.call(reader.drop())
    return reader.done()


class _Reader:
    """Takes what an errand prints; lives in the driver's loop."""

    def __init__(self, channel: sandbox_base.Channel, sink: Sink | None) -> None:
        self._channel = channel
        self._sink = sink
        self._last = dict.fromkeys(sandbox_base.Stream, b"")
        self._printed = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._read())

    async def wait(self, seconds: float) -> bool:
        """Whether it has ended."""
        assert self._task is not None
        await asyncio.wait({self._task}, timeout=seconds)
        return self._task.done()

    async def drop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=_DYING)

    def done(self) -> Done:
        """What became of it; raises what its sink raised."""
        assert self._task is not None
        self._task.result()
        end = self._channel.end
        out, err = (self._last[s].decode("utf-8", "replace") for s in sandbox_base.Stream)
        return Done(end.exit_code if end and end.marker else None, out, err)

    async def _read(self) -> None:
        async for stream, data in self._channel.frames():
            if stream is sandbox_base.Stream.OUT and self._sink is not None:
                await asyncio.to_thread(self._sink, data)
                continue
            self._last[stream] = (self._last[stream] + data)[-_LAST:]
            self._printed += len(data)
            if self._printed > _MOST:
                raise errors.TooLarge("it printed far too much")
