"""A turn over the line to a supervisor: what goes in, and the job's own bytes coming out."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knify import errors
from knify.sandbox import api, base, hostfs, line, logfile, markers, turn

_ROOM = 2 * 1024**2  # bytes read ahead of the one who takes frames
_UNSYNCED = 64 * 1024**2  # the same while a re-attached line is not yet in step
_PATH = re.compile(r"/[A-Za-z0-9_.@+-]+(/[A-Za-z0-9_.@+-]+)*")
_SIGNALS = frozenset({"TERM", "INT", "HUP", "KILL"})
_BATCH = 256  # pieces of the log read in one go
_DYING = 0.5  # seconds that a sandbox may outlive its line
_AWAKE = 2.0  # seconds between two looks at the supervisor
_GRACE = 2.0  # seconds for the second exit marker
_SLOWEST = 1024**2  # bytes a second that an upload makes at least


@dataclass(frozen=True, slots=True)
class Backing:
    """What a channel asks of its driver."""

    log: Path
    status: Callable[[], Awaitable[base.ContainerStatus | None]]
    command: Callable[[], Awaitable[tuple[str, ...]]]  # the image's own


class PodmanChannel:
    """See `base.Channel`."""

    def __init__(
        self, wire: api.Hijacked | None, token: str, backing: Backing, resuming: bool = False
    ) -> None:
        """Without a wire all comes from the log: the container has stopped."""
        self._backing = backing
        self._nonce = token
        self._reset()
        self._room = asyncio.Event()
        self._in_step = wire is None or not resuming
        self._mark: str | None = None
        self._cut: logfile.Cut | None = None
        self._line: line.Line | None = None
        self._waker: asyncio.Task[None] | None = None
        if wire is not None:
            self._line = line.Line(wire, token, self._sink, self._hold)
            self._line.open(lambda: self._finish(self._queue))

    def _reset(self) -> None:
        self._queue: asyncio.Queue[tuple[base.Stream, bytes] | None] = asyncio.Queue()
        self._buffered = 0
        self._over = asyncio.Event()
        self._live: set[base.Stream] = set()
        self._exited: set[base.Stream] = set()
        self._count = dict.fromkeys(base.Stream, 0)
        self._exit_code: int | None = None
        self.end: base.TurnEnd | None = None
        self.job_pid: int | None = None

    # -- requests ---------------------------------------------------------------------------

    async def put_tar(self, dest: str, data: bytes | AsyncIterable[bytes], size: int) -> None:
        """See `base.Channel`; BadRequest when `data` is not of this size."""
        words = [_checked(dest), str(size)]
        limit = 60 + size / _SLOWEST
        if await self._ask("untar", words, _exactly(data, size), limit) != "ok":
            raise errors.SandboxError(f"the files could not be unpacked below {dest}")

    async def put_file(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """See `base.Channel`."""
        words = [f"{mode & 0o777:o}", str(len(data)), _checked(path)]
        limit = 30 + len(data) / _SLOWEST
        if await self._ask("put", words, _exactly(data, len(data)), limit) != "ok":
            raise errors.SandboxError(f"the sandbox could not write {path}")

    async def run(self, turn_: base.Turn) -> bool:
        """See `base.Channel`."""
        execution = turn.check_execution(turn_.execution)
        argv = turn_.argv if turn_.argv is not None else await self._backing.command()
        path = f"{base.RUN}/{execution}.sh"
        await self.put_file(path, turn.script(turn_, argv))

        def switch() -> None:
            self._reset()
            self._cut, self._mark, self._nonce = None, None, turn_.nonce
            if self._line is not None:
                self._line.speak(turn_.nonce)

        status = await self._ask("run", [execution, path], before=switch)
        if status not in ("ok", "already"):
            raise errors.SandboxError("the sandbox could not note the start: is its disk full?")
        return status == "ok"

    async def signal(self, name: str) -> None:
        """See `base.Channel`; a job that has ended is not an error."""
        if name not in _SIGNALS:
            raise errors.SandboxError(f"not a signal for jobs: {name}")
        if self.job_pid is None:
            raise errors.SandboxError("no job has started here")
        await self._or_end(self._ask("signal", [name, str(self.job_pid)]))

    async def mark(self) -> None:
        """See `base.Channel`."""
        await self._ask("mark")

    async def hello(self, pid: Callable[[], Awaitable[int]], container: str) -> None:
        """Greet a supervisor that has just started, then open the pipe for orders."""
        await self.mark()
        init = await pid()
        self.keep_awake(init, container)
        out = await api.to_pipe(hostfs.orders(init))
        if self._line is not None:
            self._line.write_to(out)

    def keep_awake(self, pid: int, container: str) -> None:
        """See to it that the job cannot stop its supervisor for long; `pid` is of the init.

        Job and supervisor have one uid, so a SIGSTOP would hide the job's end from us.
        """

        async def look() -> None:
            while True:
                await asyncio.sleep(_AWAKE)
                hostfs.wake(pid, container)

        self._waker = asyncio.create_task(look(), name="sandbox-waker")

    async def close(self) -> None:
        """See `base.Channel`."""
        if self._waker is not None:
            self._waker.cancel()
        if self._line is not None:
            await self._line.close()

    async def _ask(
        self,
        verb: str,
        words: list[str] | None = None,
        body: AsyncIterator[bytes] | None = None,
        timeout: float = line.PATIENCE,
        before: Callable[[], None] | None = None,
    ) -> str:
        if self._line is None:
            raise errors.SandboxError("the sandbox has stopped")
        return await self._line.ask(verb, words or (), body, timeout, before)

    # -- output -----------------------------------------------------------------------------

    async def resume(self, skip: dict[base.Stream, int]) -> None:
        """Get in step with a turn that runs already.

        Live bytes before the mark's echo are also in the log, since conmon writes that first;
        so the log counts up to the echo, and the line behind it.
        """
        self._count = dict(skip)
        if self._line is not None:
            self._mark = line.fresh()
            await self._or_end(self._line.ask("mark", number=self._mark))
        self._in_step = True
        self._cut = logfile.Cut(self._nonce, self._mark, self._count)
        pid = await asyncio.to_thread(logfile.job_pid, self._backing.log, self._nonce)
        self.job_pid = self.job_pid or pid

    async def frames(self) -> AsyncIterator[tuple[base.Stream, bytes]]:
        """See `base.Channel`; SandboxError when the line broke but the sandbox lives."""
        if self._cut is not None:
            cut, self._cut = self._cut, None
            async for frame in self._from_log(cut):
                yield frame
            if cut.exited:
                self.end = base.TurnEnd(cut.exit_code, True)
            elif self._line is None:
                self.end = base.TurnEnd(await self._container_exit(), False)
        while self.end is None and (live := await self._queue.get()) is not None:
            self._buffered -= len(live[1])
            self._count[live[0]] += len(live[1])
            self._room.set()
            yield live
        if self.end is None and self._exited:
            self.end = base.TurnEnd(self._exit_code, True)
        elif self.end is None:
            async for frame in self._remainder():
                yield frame

    async def _or_end(self, request: Coroutine[Any, Any, str]) -> None:
        """Wait for the answer, or for the turn's end: it may swallow the request."""
        asked = asyncio.create_task(request)
        ended = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over = ended.done()
            asked.cancel()
            ended.cancel()
        failed = (await asyncio.gather(asked, ended, return_exceptions=True))[0]
        if isinstance(failed, BaseException) and not over:
            raise failed

    async def _remainder(self) -> AsyncIterator[tuple[base.Stream, bytes]]:
        """What the log holds beyond the bytes that came before the line broke."""
        code = await self._container_exit()
        cut = logfile.Cut(self._nonce, None, self._count)
        async for frame in self._from_log(cut):
            yield frame
        self.end = base.TurnEnd(cut.exit_code if cut.exited else code, bool(cut.exited))

    async def _from_log(self, cut: logfile.Cut) -> AsyncIterator[tuple[base.Stream, bytes]]:
        pieces = cut.take(self._backing.log)
        while batch := await asyncio.to_thread(lambda: list(itertools.islice(pieces, _BATCH))):
            for stream, data in batch:
                for at in range(0, len(data), base.CHUNK):
                    piece = data[at : at + base.CHUNK]
                    self._count[stream] += len(piece)
                    yield stream, piece

    async def _container_exit(self) -> int | None:
        """The stopped container's exit code; Podman notices the end a little late, or never."""
        began = time.monotonic()
        while (status := await self._backing.status()) is not None:
            waited = time.monotonic() - began
            if status.running and waited > _DYING:
                raise errors.SandboxError("the line to the sandbox broke")
            known = status.exit_code is not None or status.stuck
            if not status.running and (known or waited > line.PATIENCE):
                return status.exit_code
            await asyncio.sleep(0.03)
        raise errors.SandboxGone

    def _sink(self, stream: base.Stream, piece: bytes | markers.Marker) -> None:
        if isinstance(piece, markers.Marker):
            self._marker(stream, piece.words)
        elif stream in self._live and stream not in self._exited:
            self._buffered += len(piece)
            self._queue.put_nowait((stream, piece))

    def _marker(self, stream: base.Stream, words: tuple[str, ...]) -> None:
        if words[:1] == ("start",):
            self.job_pid = logfile.number(words)
            if self._in_step and self._mark is None:
                self._live.add(stream)
        elif words == ("mark", self._mark):
            self._live.add(stream)
        elif words[:1] == ("exit",):
            self._exited.add(stream)
            self._exit_code = logfile.number(words)
            if len(self._exited) == len(base.Stream):
                self._finish(self._queue)
            else:  # the other stream's marker follows at once, unless the job tampered with us
                asyncio.get_running_loop().call_later(_GRACE, self._finish, self._queue)

    def _finish(self, queue: asyncio.Queue[tuple[base.Stream, bytes] | None]) -> None:
        queue.put_nowait(None)
        if queue is self._queue:
            self._over.set()

    async def _hold(self) -> None:
        while self._buffered > _ROOM and self._in_step:
            self._room.clear()
            await self._room.wait()
        if self._buffered > _UNSYNCED:
            raise OSError("too much output before the supervisor answered")


def _checked(path: str) -> str:
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        raise errors.SandboxError(f"not a path for the sandbox: {path!r}")
    return path


async def _exactly(data: bytes | AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """The data in pieces, checked to be `size` bytes long."""
    left = size
    if isinstance(data, bytes):
        data = _pieces(data)
    async for chunk in data:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise errors.BadRequest("the data are not of the size that was announced")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), base.CHUNK):
        yield data[at : at + base.CHUNK]
