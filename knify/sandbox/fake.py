"""A scripted stand-in for Podman, for tests: no mock, it keeps the whole contract in memory.

Containers live in a `FakeHost`; drivers that share one see the same containers, so a worker's
death is played by dropping its driver and making another.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from knify import errors
from knify.sandbox import base, template, turn

Step = tuple[float, base.Stream, bytes]  # seconds to wait, then bytes on a stream


@dataclass(slots=True)
class Script:
    """What a command does: output in steps, then an exit code; a signal ends it early."""

    steps: list[Step] = field(default_factory=list)
    exit_code: int = 0
    hangs: bool = False  # after its steps it waits for a signal
    files: dict[str, bytes] = field(default_factory=dict)  # written below /workspace first


@dataclass(slots=True)
class FakeTurn:
    """One turn's whole output, with everyone who follows it."""

    nonce: str
    output: list[tuple[base.Stream, bytes]] = field(default_factory=list)
    end: base.TurnEnd | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def tell(self) -> None:
        """Wake the followers."""
        self.news.set()
        self.news = asyncio.Event()


@dataclass(slots=True)
class FakeContainer:
    """A sandbox in memory."""

    id: str
    installation: str
    request: base.SandboxRequest
    root: Path  # stands for the two volumes
    running: bool = False
    exit_code: int | None = None
    oom_kills: int = 0
    deaf: bool = False  # the supervisor answers nothing
    started: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)  # by put_file
    tars: list[tuple[str, bytes]] = field(default_factory=list)  # by put_tar
    turns: list[FakeTurn] = field(default_factory=list)

    def halt(self, code: int = 137) -> None:
        """End as a killed container does."""
        self.running, self.exit_code = False, code
        for one in self.turns:
            if one.end is None:
                one.end = base.TurnEnd(code, False)
                one.tell()
            if one.task is not None:
                one.task.cancel()


class FakeHost:
    """A node: its images, its containers, and what commands do there."""

    def __init__(self) -> None:
        """Has the image `fake`, whose command is `default`."""
        self.containers: dict[str, FakeContainer] = {}
        self.scripts: dict[tuple[str, ...], Script] = {("true",): Script()}
        self.found: dict[str, base.ImageInfo] = {}
        self.add_image(base.ImageInfo("fake", "f" * 64, "sha256:" + "f" * 64, cmd=("default",)))
        self.down = False  # Podman's service does not answer
        self.calls: list[str] = []  # names of the driver's verbs, in order
        self._folder = tempfile.TemporaryDirectory(prefix="knify-fake-")
        self._numbers = itertools.count(1)

    def add_image(self, info: base.ImageInfo) -> None:
        """Make an image known."""
        self.found[info.name] = info

    def script(self, argv: tuple[str, ...], script: Script) -> None:
        """Say what a command does; one without a script exits with 127."""
        self.scripts[argv] = script

    def make(self, installation: str, request: base.SandboxRequest) -> FakeContainer:
        """A new container, not started."""
        number = next(self._numbers)
        root = Path(self._folder.name) / f"{number}"
        root.mkdir()
        made = FakeContainer(f"{number:064x}", installation, request, root)
        self.containers[made.id] = made
        return made

    async def play(self, box: FakeContainer, running: FakeTurn, script: Script) -> None:
        """Run a script to its end."""
        for path, content in script.files.items():
            target = box.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for delay, stream, data in script.steps:
            await asyncio.sleep(delay)
            running.output.append((stream, data))
            running.tell()
        if script.hangs:
            await asyncio.Event().wait()
        running.end = base.TurnEnd(script.exit_code, True)
        running.tell()


class FakeChannel:
    """See `base.Channel`."""

    def __init__(self, host: FakeHost, box: FakeContainer) -> None:
        """A line to this container."""
        self._host = host
        self._box = box
        self._turn: FakeTurn | None = None
        self._skip = dict.fromkeys(base.Stream, 0)
        self._closed = False
        self.end: base.TurnEnd | None = None
        self.job_pid: int | None = None

    def follow(self, running: FakeTurn, skip: dict[base.Stream, int]) -> None:
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
        running = FakeTurn(turn_.nonce)
        self._box.turns.append(running)
        script = self._host.scripts.get(argv, Script(exit_code=127))
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

    def __init__(self, host: FakeHost, installation: str = "test") -> None:
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
            raise errors.SandboxError("the sandbox runs already")
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
        lost = FakeTurn(nonce, end=None if box.running else base.TurnEnd(box.exit_code, False))
        running = next((one for one in box.turns if one.nonce == nonce), lost)
        opened.follow(running, {base.Stream.OUT: skip_out, base.Stream.ERR: skip_err})
        return opened

    async def started(self, container: str, execution: str) -> bool:
        """See `base.Driver`."""
        self._call("started")
        return turn.check_execution(execution) in self._get(container).started

    async def inspect(self, container: str) -> base.ContainerStatus | None:
        """See `base.Driver`."""
        self._call("inspect")
        box = self._host.containers.get(container)
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

    async def stop(self, container: str, grace: float = 0) -> None:
        """See `base.Driver`."""
        self._call("stop")
        box = self._host.containers.get(container)
        if box is not None and box.running:
            box.halt()

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

    def _get(self, container: str) -> FakeContainer:
        if container not in self._host.containers:
            raise errors.SandboxGone
        return self._host.containers[container]

    def _find(self, sandbox_id: str) -> FakeContainer | None:
        name = sandbox_id
        rows = (b for b in self._host.containers.values() if b.request.sandbox_id == name)
        return next(rows, None)
