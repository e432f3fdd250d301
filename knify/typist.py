"""Gives a running command what is typed: the words' way from Redis into the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from knify import model
from knify.sandbox import base as sandbox_base
from knify.services import shells
from knify.store.typed import Typed


class Typist:
    """For one turn, in the driver's loop."""

    def __init__(
        self,
        channel: sandbox_base.Channel,
        typed: Typed,
        thread: Callable[..., Awaitable[Any]],
    ) -> None:
        """`thread` runs what blocks."""
        self._channel = channel
        self._typed = typed
        self._thread = thread
        self._lock = asyncio.Lock()  # words keep their order

    async def deliver(self, x: model.Execution) -> bool:
        """Hand on all that waits; whether there was anything. LeaseLost, SandboxError.

        A command that does not read what it is given fails this, and is at its end.
        """
        if not shells.is_shell(x):
            return False
        some = False
        async with self._lock:
            while words := await self._thread(self._typed.take, x.id, x.fence):
                some = True
                for kind, text in words:
                    await self._give(kind, text)
        return some

    async def _give(self, kind: str, text: str) -> None:
        if kind == "signal":
            await self._channel.signal(text)
        else:
            await self._channel.put_file(shells.PIPE, text.encode("utf-8", "replace"))
