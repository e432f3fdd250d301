"""Bytes in both directions until both sides have ended."""

from __future__ import annotations

import asyncio
from typing import Final

from knify.gateway import line as lines
from knify.gateway import sides

IDLE_SECONDS: Final = 900.0  # without a byte in either direction


async def run(
    line: lines.Line, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Between the sandbox's connection and another one, which began with `early`."""
    line.until(IDLE_SECONDS)
    if early:
        writer.write(early)
    async with sides.beside(_pump(line, line.reader, writer)) as there:
        await _pump(line, reader, line.writer)
        await there


async def _pump(
    line: lines.Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One direction; its end is passed on."""
    try:
        await sides.copy(reader, writer, lambda _: line.until(IDLE_SECONDS))
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS knows no half of a connection: its end is that of the whole tunnel
            writer.close()
    except OSError:
        line.abort()
