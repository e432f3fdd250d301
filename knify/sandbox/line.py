"""The line to a supervisor: requests go down, replies and the job's bytes come up."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from knify import errors
from knify.sandbox import api, base, markers

PATIENCE = 5.0  # seconds for the supervisor's answer

Sink = Callable[[base.Stream, bytes | markers.Marker], None]


def fresh() -> str:
    """A request's number, unique over all owners: an old one's answer may still come."""
    return secrets.token_hex(8)


class Line:
    """Demultiplexes a hijacked connection and matches replies to requests.

    `sink` gets the job's bytes and the markers that answer no request, in order; after each
    piece of input `hold` may wait, which holds up the sandbox's output.
    """

    def __init__(
        self, wire: api.Hijacked, token: str, sink: Sink, hold: Callable[[], Awaitable[None]]
    ) -> None:
        """Reading begins with `open`."""
        self._wire = wire
        self._out = wire.commands or wire.writer
        self._sink = sink
        self._hold = hold
        self._lock = asyncio.Lock()
        self._waiting: dict[str, tuple[asyncio.Future[str], set[base.Stream]]] = {}
        self._early = wire.early
        self._task: asyncio.Task[None] | None = None
        self.closed = False
        self.speak(token)

    def write_to(self, out: asyncio.StreamWriter) -> None:
        """Send requests there from now on; it is closed with the line."""
        self._wire = dataclasses.replace(self._wire, commands=out)
        self._out = out

    def speak(self, token: str) -> None:
        """Use this token from now on."""
        self._token = token
        self._scanners = {stream: markers.Scanner(token) for stream in base.Stream}

    def open(self, ended: Callable[[], None]) -> None:
        """Start to read; `ended` is called when the other side has hung up."""

        async def pump() -> None:
            try:
                await self._pump()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                self._hang_up()
                ended()

        self._task = asyncio.create_task(pump(), name="sandbox-line")

    async def ask(
        self,
        verb: str,
        words: Sequence[str] = (),
        body: AsyncIterator[bytes] | None = None,
        timeout: float = PATIENCE,
        before: Callable[[], None] | None = None,
        number: str | None = None,
    ) -> str:
        """One request's status word. After a failure within `body` the line is of no more use."""
        async with self._lock:
            if before is not None:
                before()
            if self.closed:
                raise errors.SandboxError("the line to the sandbox is closed")
            number = number or fresh()
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._waiting[number] = (future, set(base.Stream))
            try:
                async with asyncio.timeout(timeout):
                    await self._say(" ".join((verb, self._token, number, *words)), body)
                    return await future
            except TimeoutError as failed:
                raise errors.SandboxError(f"the sandbox did not answer {verb}") from failed
            except OSError as failed:
                raise errors.SandboxError("the line to the sandbox broke") from failed
            finally:
                del self._waiting[number]

    async def close(self) -> None:
        """Stop reading and hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._hang_up()

    async def _say(self, text: str, body: AsyncIterator[bytes] | None) -> None:
        self._out.write(text.encode() + b"\n")
        await self._out.drain()
        if body is None:
            return
        try:
            async for chunk in body:
                self._out.write(chunk)
                await self._out.drain()
        except BaseException:
            self._hang_up()  # the supervisor still waits for the rest
            raise

    def _hang_up(self) -> None:
        self.closed = True
        self._wire.close()
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(errors.SandboxError("the line to the sandbox broke"))

    async def _pump(self) -> None:
        while True:
            head = await self._exactly(8)
            size = int.from_bytes(head[4:], "big")
            stream = base.Stream.ERR if head[0] == base.Stream.ERR else base.Stream.OUT
            while size:
                data = await self._exactly(min(size, base.CHUNK // 2))
                size -= len(data)
                for piece in self._scanners[stream].feed(data):
                    self._take(stream, piece)
            await self._hold()

    async def _exactly(self, size: int) -> bytes:
        head, self._early = self._early[:size], self._early[size:]
        if len(head) == size:
            return head
        return head + await self._wire.reader.readexactly(size - len(head))

    def _take(self, stream: base.Stream, piece: bytes | markers.Marker) -> None:
        self._sink(stream, piece)
        if isinstance(piece, bytes) or len(piece.words) < 2:
            return
        future, missing = self._waiting.get(piece.words[1], (None, set()))
        if future is None or future.done():
            return
        if piece.words[0] == "reply" and len(piece.words) == 3:
            future.set_result(piece.words[2])
        elif piece.words[0] == "mark":
            missing.discard(stream)
            if not missing:
                future.set_result("ok")
