"""The line to a container of `fakehost`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator

from knify import errors
from knify.sandbox import base, fakehost, turn


class FakeChannel:
    """See `base.Channel`."""

    def __init__(self, host: fakehost.FakeHost, box: fakehost.FakeContainer) -> None:
        """A line to this container."""
        self._host = host
        self._box = box
        self._turn: fakehost.FakeTurn | None = None
        self._skip = dict.fromkeys(base.Stream, 0)
        self._closed = False
        self.end: base.TurnEnd | None = None
        self.job_pid: int | None = None

    def follow(self, running: fakehost.FakeTurn, skip: dict[base.Stream, int]) -> None:
        """Take this turn's output from these positions on."""
        self._turn, self._skip = running, skip
        self.end, self.job_pid = None, 100

    async def put_tar(self, dest: str, data: bytes | AsyncIterable[bytes], size: int) -> None:
        """Keeps the tar; unpacks nothing."""
        self._check()
        content = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        if len(content) != size:
            self._closed = True
            raise errors.BadRequest("the data are not of the size that was announced")
        self._box.tars.append((dest, content))

    async def put_file(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Keeps the bytes."""
        self._check()
        self._box.files[path] = data

    async def run(self, turn_: base.Turn) -> bool:
        """See `base.Channel`."""
        self._check()
        argv = turn_.argv
        if argv is None:
            argv = self._host.found[self._box.request.image].command
        turn.script(turn_, argv)
        if turn.check_execution(turn_.execution) in self._box.started:
            return False
        self._box.started.append(turn_.execution)
        script = self._host.scripts.get(argv, fakehost.Script(exit_code=127))
        running = fakehost.FakeTurn(turn_.nonce, dict(turn_.env), stubborn=script.stubborn)
        self._box.turns.append(running)
        running.task = asyncio.create_task(self._host.play(self._box, running, script))
        self.follow(running, dict.fromkeys(base.Stream, 0))
        return True

    async def signal(self, name: str) -> None:
        """Ends the script with 128 + the signal's number."""
        self._check()
        numbers = {"TERM": 15, "INT": 2, "HUP": 1, "KILL": 9}
        if name not in numbers:
            raise errors.SandboxError(f"not a signal for jobs: {name}")
        if self._turn is None:
            raise errors.SandboxError("no job has started here")
        if self._turn.stubborn and name != "KILL":
            return
        if self._turn.task is not None and self._turn.end is None:
            self._turn.task.cancel()
            self._turn.end = base.TurnEnd(128 + numbers[name], True)
            self._turn.tell()

    async def mark(self) -> None:
        """See `base.Channel`."""
        self._check()

    async def frames(self) -> AsyncIterator[tuple[base.Stream, bytes]]:
        """See `base.Channel`."""
        while self.end is None and self._turn is not None:
            running, at = self._turn, 0
            skip = self._skip
            while self.end is None:
                news = running.news
                while at < len(running.output):
                    stream, data = running.output[at]
                    rest = data[skip[stream] :]
                    skip[stream] -= len(data) - len(rest)
                    at += 1
                    for start in range(0, len(rest), base.CHUNK):
                        yield stream, rest[start : start + base.CHUNK]
                if running.end is not None and at == len(running.output):
                    self.end = running.end
                elif self._closed:
                    raise errors.SandboxError("the line to the sandbox broke")
                else:
                    await news.wait()

    async def close(self) -> None:
        """See `base.Channel`."""
        self._closed = True

    def _check(self) -> None:
        if self._closed or not self._box.running:
            raise errors.SandboxError("the line to the sandbox is closed")
        if self._box.deaf or self._box.frozen:
            raise errors.SandboxError("the sandbox did not answer")
