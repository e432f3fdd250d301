"""Telling a command to end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from knify import errors
from knify.sandbox import base as sandbox_base

_RETRY: Final = 0.5  # seconds, while it has not begun to listen


class Signals:
    """What one command is told."""

    def __init__(self, channel: sandbox_base.Channel) -> None:
        self.sent = False  # set before anything is: the end may be here before the answer
        self._channel = channel
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """It gets no more time to end by itself."""
        self._hurry.set()

    async def ask(self, seconds: float) -> None:
        """SIGTERM, and so much time; less in a hurry."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end and not self._hurry.is_set() and self._channel.end is None:
            pause = await self._send("TERM", seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):  # `wait_for` may lose a cancellation
                    await self._hurry.wait()

    async def make(self, seconds: float) -> None:
        """SIGKILL, and so much time until its end is reported."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end and self._channel.end is None:
            await asyncio.sleep(await self._send("KILL", seconds))

    async def _send(self, name: str, seconds: float) -> float:
        """How long to wait then: it is sent again while the command has not begun to listen."""
        unheard = self._channel.job_pid is None
        self.sent = True
        with contextlib.suppress(errors.SandboxError):
            await self._channel.signal(name)
        return _RETRY if unheard else seconds
