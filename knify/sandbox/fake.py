"""A scripted stand-in for Podman, for tests: no mock, it keeps the whole contract in memory.

Containers live in a `fakehost.FakeHost`; drivers that share one see the same containers, so a
worker's death is played by dropping its driver and making another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

from knify import errors
from knify.sandbox import base, fakehost, template, tree, turn


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
        running = fakehost.FakeTurn(turn_.nonce)
        self._box.turns.append(running)
        script = self._host.scripts.get(argv, fakehost.Script(exit_code=127))
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
        if self._box.deaf:
            raise errors.SandboxError("the sandbox did not answer")


class FakeDriver:
    """See `base.Driver`."""

    def __init__(self, host: fakehost.FakeHost, installation: str = "test") -> None:
        """A driver of the containers on `host`."""
        self._host = host
        self._installation = installation

    async def prepare(self) -> None:
        """Nothing is shared here."""
        self._call("prepare")

    async def ping(self) -> None:
        """See `base.Driver`."""
        self._call("ping")

    async def create(self, request: base.SandboxRequest) -> str:
        """See `base.Driver`."""
        self._call("create")
        template.container_name(request.sandbox_id)
        found = self._find(request.sandbox_id)
        if found is not None:
            return found.id
        if request.image not in self._host.found:
            raise errors.ImageMissing(f"no image {request.image} on this node")
        return self._host.make(self._installation, request).id

    async def attach(self, container: str) -> base.Channel:
        """See `base.Driver`."""
        self._call("attach")
        box = self._get(container)
        if box.running:
            raise errors.SandboxRuns
        box.running, box.exit_code, box.turns = True, None, []
        opened = FakeChannel(self._host, box)
        await opened.mark()
        return opened

    async def reattach(
        self, container: str, nonce: str, skip_out: int = 0, skip_err: int = 0
    ) -> base.Channel:
        """See `base.Driver`."""
        self._call("reattach")
        box = self._get(container)
        opened = FakeChannel(self._host, box)
        if box.running:
            await opened.mark()
        lost = fakehost.FakeTurn(
            nonce, end=None if box.running else base.TurnEnd(box.exit_code, False)
        )
        running = next((one for one in box.turns if one.nonce == nonce), lost)
        opened.follow(running, {base.Stream.OUT: skip_out, base.Stream.ERR: skip_err})
        return opened

    async def started(self, container: str, execution: str, nonce: str) -> bool:
        """See `base.Driver`."""
        self._call("started")
        return turn.check_execution(execution) in self._get(container).started

    async def logged(self, container: str, nonce: str) -> bool:
        """See `base.Driver`."""
        self._call("logged")
        return any(one.nonce == nonce for one in self._get(container).turns)

    async def inspect(self, container: str) -> base.ContainerStatus | None:
        """See `base.Driver`."""
        self._call("inspect")
        box = self._by_name(container)
        if box is None:
            return None
        image = self._host.found[box.request.image]
        return base.ContainerStatus(
            id=box.id,
            sandbox_id=box.request.sandbox_id,
            running=box.running,
            pid=1_000_000 + int(box.id, 16) if box.running else None,
            exit_code=box.exit_code,
            oom_killed=False,
            oom_kills=box.oom_kills if box.running else None,
            labels=template.labels(box.installation, box.request),
            image=image.id,
            digest=image.digest,
        )

    async def stop(self, container: str, grace: float = 0) -> bool:
        """See `base.Driver`."""
        self._call("stop")
        box = self._by_name(container)
        if box is not None and box.running:
            box.halt()
        return box is not None

    async def remove(self, sandbox_id: str) -> None:
        """See `base.Driver`."""
        self._call("remove")
        box = self._find(sandbox_id)
        if box is not None:
            box.halt()
            del self._host.containers[box.id]

    async def owned(self) -> list[base.Listed]:
        """See `base.Driver`."""
        self._call("owned")
        rows = []
        for box in self._host.containers.values():
            if box.installation == self._installation:
                name, sandbox = template.container_name(box.request.sandbox_id), box.request
                rows.append(base.Listed("container", name, sandbox.sandbox_id, 0, box.running))
                for what in ("workspace", "home"):
                    name = template.volume_name(sandbox.sandbox_id, what)
                    rows.append(base.Listed("volume", name, sandbox.sandbox_id, 0))
        return rows

    async def image(self, name: str) -> base.ImageInfo | None:
        """See `base.Driver`."""
        self._call("image")
        return self._host.found.get(name)

    async def images(self) -> list[base.ImageInfo]:
        """See `base.Driver`."""
        self._call("images")
        return list(self._host.found.values())

    async def usage(self, sandbox_id: str, most: int) -> int:
        """See `base.Driver`."""
        return tree.usage(await self.workspace_root(sandbox_id), most)

    async def workspace_root(self, sandbox_id: str) -> Path:
        """See `base.Driver`."""
        self._call("workspace_root")
        box = self._find(sandbox_id)
        if box is None:
            raise errors.SandboxGone
        return box.root

    def _call(self, verb: str) -> None:
        self._host.calls.append(verb)
        if self._host.down:
            raise errors.SandboxTimeout

    def _get(self, container: str) -> fakehost.FakeContainer:
        box = self._by_name(container)
        if box is None:
            raise errors.SandboxGone
        return box

    def _by_name(self, container: str) -> fakehost.FakeContainer | None:
        """By id, or by name as Podman has it."""
        box = self._host.containers.get(container)
        return box or self._find(container.removeprefix("knify-"))

    def _find(self, sandbox_id: str) -> fakehost.FakeContainer | None:
        name = sandbox_id
        rows = (b for b in self._host.containers.values() if b.request.sandbox_id == name)
        return next(rows, None)
