"""Bytes in both directions until both sides have ended."""

from __future__ import annotations

import asyncio
from typing import Final

from knify.gateway import line as lines

IDLE_SECONDS: Final = 900.0  # without a byte in either direction


async def run(
    line: lines.Line, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Between the sandbox's connection and another one, which began with `early`."""
    line.until(IDLE_SECONDS)
    if early:
        writer.write(early)
    there = asyncio.create_task(_pump(line, line.reader, writer))
    try:
        await _pump(line, reader, line.writer)
        await there
    finally:
        there.cancel()
        await asyncio.gather(there, return_exceptions=True)


async def _pump(
    line: lines.Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One direction; its end is passed on."""
    try:
        while data := await reader.read(lines.READ_BYTES):
            line.until(IDLE_SECONDS)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS knows no half of a connection: its end is that of the whole tunnel
            writer.close()
    except OSError:
        line.abort()
