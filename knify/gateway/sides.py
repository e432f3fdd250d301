"""What goes on side by side in one connection: bytes both ways, and whoever watches over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from knify.gateway import line as lines

Work = Coroutine[Any, Any, None]


async def first(*work: Work) -> None:
    """Until one has ended; the others end with it. Raises what that one did.

    Of several that end in the same moment, the one that is named first counts.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await next(task for task in tasks if task.done())
    finally:
        await _ended(tasks)


async def lasting(work: Work, left: Callable[[], None], seconds: float) -> None:
    """Do it; cancelled, it goes on for so long at most. `left` is called when that begins."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            left()
            await asyncio.wait([task], timeout=seconds)
        raise
    finally:
        await _ended([task])


@asynccontextmanager
async def beside(work: Work) -> AsyncIterator[asyncio.Task[None]]:
    """It runs beside the block, and ends with it."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await _ended([task])


@asynccontextmanager
async def joined(line: lines.Line, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """The connection of `writer` ends with the sandbox's, and with the block."""
    line.bind(writer)
    try:
        yield
    finally:
        writer.transport.abort()


async def copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Callable[[bytes], None]
) -> None:
    """One direction until its end, as fast as both sides are; `seen`: before it is sent on."""
    while data := await reader.read(lines.READ_BYTES):
        seen(data)
        writer.write(data)
        await writer.drain()


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
