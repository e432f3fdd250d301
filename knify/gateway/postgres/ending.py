"""The end of a session, so that nothing that it asked for goes on at the server.

A server that computes does not see that its client has left. So it is told, by a request to cancel,
again and again until it closes the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

from knify.gateway import line as lines
from knify.gateway.postgres import signin, wire

SECONDS: Final = 30.0  # after which it is given up
_AGAIN_SECONDS: Final = 1.0
_CANCEL_SECONDS: Final = 5.0


async def end(session: signin.Session, tls: ssl.SSLContext, *, is_asked: bool) -> bool:
    """Whether the server has ended it. `is_asked`: it may have something to do.

    Nobody else reads from it or writes to it any more.
    """
    left = asyncio.create_task(_left(session.reader))
    try:
        async with asyncio.timeout(SECONDS):
            if is_asked:  # first: a pooler in between would only see us go
                await _cancel(session, tls)
            session.writer.write(wire.pack(b"X"))
            while not (await asyncio.wait({left}, timeout=_AGAIN_SECONDS))[0]:
                await _cancel(session, tls)
            return True
    except TimeoutError:
        return False
    finally:
        left.cancel()
        session.writer.transport.abort()


async def _left(reader: asyncio.StreamReader) -> None:
    """Whatever it still says is taken from it, until it closes."""
    with contextlib.suppress(OSError):
        while await reader.read(lines.READ_BYTES):
            pass


async def _cancel(session: signin.Session, tls: ssl.SSLContext) -> None:
    """Ask for the end of what it does; whether that came in time to be one is not told."""
    if not session.key:
        return
    with contextlib.suppress(OSError, TimeoutError, signin.Refused):
        async with asyncio.timeout(_CANCEL_SECONDS):
            reader, writer = await signin.connect(session.database, tls, session.peer)
            try:
                writer.write(wire.pack_cancel(session.key))
                await reader.read(1)  # closed when it was heard
            finally:
                writer.transport.abort()
