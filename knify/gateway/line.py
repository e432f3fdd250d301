"""One connection from a sandbox: HTTP/1.1 by h11, which refuses what readers may read differently.

Nothing here has a time limit of its own: whoever waits says until when (`until`), and the doors
abort what is overdue, all connections in one look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final

import h11

from knify.gateway.turns import EVENTS, Turns

HEAD_BYTES: Final = 32 * 1024
READ_BYTES: Final = 32 * 1024  # in each buffer: thousands of connections may be stuck
HEAD_SECONDS: Final = 30.0  # from the connection, or the last answer, to the end of the next head
BODY_SECONDS: Final = 60.0  # without a byte of a body
WRITE_SECONDS: Final = 120.0  # in which a sandbox takes nothing of an answer

#: So many chunks of a body may be as small as they like, the others have to hold so many bytes each
#: on the average: one takes as long to read as kilobytes.
CHUNKS: Final = 4_096
CHUNK_BYTES: Final = 64

_LINGER_SECONDS: Final = 5.0
_LINGER_BYTES: Final = 4 * 1024**2

Headers = list[tuple[bytes, bytes]]
#: Of one connection, not of the message (RFC 9110, 7.6.1), and those of proxies.
HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"transfer-encoding upgrade".split()
)


class Gone(Exception):
    """The other side has closed, or spoke no HTTP."""


class Line:
    """A connection, and what is open on its behalf."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turns: Turns
    ) -> None:
        """`turns`: of all connections of its sandbox."""
        self.deadline = 0.0  # by the monotonic clock
        self._patience = 0.0  # seconds from the last sign of life to it
        self.is_ending = False  # nothing more is served on it
        self.reader, self.writer = reader, writer
        self.turns = turns
        self._events = 0  # read in this turn
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._others: list[asyncio.StreamWriter] = []
        narrow(writer)
        self.until(HEAD_SECONDS)

    def until(self, seconds: float) -> None:
        """From now on, so long may pass until this is said again, or something was sent."""
        self._patience = seconds
        self.deadline = time.monotonic() + seconds

    def abort(self) -> None:
        """End it at once, with all that is open on its behalf."""
        for writer in (self.writer, *self._others):
            writer.transport.abort()

    async def lost(self) -> None:
        """Close it, and return when it is: what is left of an answer has its time to be taken."""
        self.is_ending = True
        self.until(WRITE_SECONDS)
        try:
            self.writer.close()
            await self.writer.wait_closed()
        except OSError:
            pass
        finally:
            self.abort()

    def bind(self, writer: asyncio.StreamWriter) -> None:
        """That connection ends with this one."""
        narrow(writer)
        self._others.append(writer)

    async def request(self) -> h11.Request:
        """The next request's head. Gone."""
        self.until(HEAD_SECONDS)
        event = await self._event()
        if not isinstance(event, h11.Request):
            raise Gone
        return event

    async def body(self) -> AsyncIterator[bytes]:
        """The request's body as it comes. Gone when it ends too early, or is cut too small."""
        if self._http.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[]))
        spare = CHUNKS * CHUNK_BYTES  # bytes by which its chunks may be too small together
        while True:
            self.until(BODY_SECONDS)
            event = await self._event()
            if isinstance(event, h11.EndOfMessage):
                return
            if not isinstance(event, h11.Data):
                raise Gone
            spare = spare + len(event.data) - (CHUNK_BYTES if event.chunk_start else 0)
            if spare < 0:
                raise await self._refusal("a body in such small chunks is not taken")
            yield bytes(event.data)

    async def _refusal(self, why: str) -> Gone:
        """Behind its answer, as far as there may be one."""
        if self.can_answer:
            await self.answer(400, f"knify: {why}\n")
        return Gone()

    async def left(self) -> None:
        """Returns when the sandbox has gone, while an answer is made for it; to be cancelled."""
        early = 0
        while early <= HEAD_BYTES:
            try:
                data = await self.reader.read(READ_BYTES)
            except OSError:
                return
            if not data:
                return
            early += len(data)  # of its next request
            self._http.receive_data(data)

    async def send(self, event: h11.Event) -> None:
        """A part of the answer. Gone."""
        try:
            data = self._http.send(event)
            if data:
                self.writer.write(data)
            self.deadline = time.monotonic() + WRITE_SECONDS
            await self.writer.drain()
            self.deadline = time.monotonic() + self._patience
        except (OSError, h11.LocalProtocolError) as failed:
            raise Gone from failed

    async def answer(self, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """A whole answer of ours, after which the connection ends."""
        content = text.encode()
        fields = [
            ("content-length", str(len(content))),
            ("connection", "close"),
            *(headers or [("content-type", "text/plain; charset=utf-8")]),
        ]
        await self.send(h11.Response(status_code=status, headers=fields))
        await self.send(h11.Data(data=content))
        await self.send(h11.EndOfMessage())
        await self._linger()

    async def _linger(self) -> None:
        """Closed with something unread, the answer would be lost on its way."""
        self.until(_LINGER_SECONDS)
        left = _LINGER_BYTES
        try:
            self.writer.write_eof()
            while left > 0 and (data := await self.reader.read(READ_BYTES)):
                left -= len(data)
        except OSError as failed:
            raise Gone from failed

    async def switch(self, upgrade: Headers | None = None) -> bytes:
        """Agree to a CONNECT, or to an upgrade: from now on bytes only; those that came early."""
        if upgrade is None:
            reason = b"Connection established"
            await self.send(h11.Response(status_code=200, headers=[], reason=reason))
        else:
            await self.send(h11.InformationalResponse(status_code=101, headers=upgrade))
        early, _ = self._http.trailing_data
        self._http = h11.Connection(h11.SERVER)  # the old one's buffers are of no more use
        return bytes(early)

    @property
    def can_answer(self) -> bool:
        """Whether nothing of an answer was sent yet."""
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    def go_on(self) -> bool:
        """Whether another request may come on this connection."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False

    async def _event(self) -> h11.Event:
        try:
            if self._events >= EVENTS:
                await self._turn()
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = await self.reader.read(READ_BYTES)
                await self._turn()
                self._http.receive_data(data)
            self._events += 1
        except OSError as failed:
            raise Gone from failed
        if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            raise Gone
        assert not isinstance(event, type)
        return event

    async def _turn(self) -> None:
        await self.turns.next()
        self._events = 0


def narrow(writer: asyncio.StreamWriter) -> None:
    """Bound what a connection holds while its other end reads nothing, or sends more than we do."""
    writer.transport.set_write_buffer_limits(high=READ_BYTES)
    setattr(writer.transport, "max_size", READ_BYTES)  # noqa: B010  # of one read from the socket


def passed_on(headers: Iterable[tuple[bytes, bytes]], without: frozenset[bytes]) -> Headers:
    """Headers without those of the connection, those that `Connection` names, and `without`."""
    rows = [(name.lower(), value) for name, value in headers]
    named = {
        word.strip().lower()
        for name, value in rows
        if name == b"connection"
        for word in value.split(b",")
    }
    return [row for row in rows if row[0] not in HOP | named | without]
