"""A node in memory, for `fake`: what outlives the drivers that work on it."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from knify import errors
from knify.sandbox import base

Step = tuple[float, base.Stream, bytes]  # seconds to wait, then bytes on a stream


@dataclass(slots=True)
class Script:
    """What a command does: output in steps, then an exit code; a signal ends it early."""

    steps: list[Step] = field(default_factory=list)
    exit_code: int = 0
    hangs: bool = False  # after its steps it waits for a signal
    stubborn: bool = False  # only SIGKILL ends it
    files: dict[str, bytes] = field(default_factory=dict)  # written below /workspace first


@dataclass(slots=True)
class FakeTurn:
    """One turn's whole output, with everyone who follows it."""

    nonce: str
    env: dict[str, str] = field(default_factory=dict)
    output: list[tuple[base.Stream, bytes]] = field(default_factory=list)
    end: base.TurnEnd | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    stubborn: bool = False

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
    root: Path  # the volume of /workspace
    home: Path
    running: bool = False
    frozen: bool = False
    stuck: bool = False  # as if its conmon had been killed: only `rebuild` helps
    exit_code: int | None = None
    oom_kills: int = 0
    deaf: bool = False  # the supervisor answers nothing
    started: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)  # by put_file
    tars: list[tuple[str, bytes]] = field(default_factory=list)  # by put_tar
    turns: list[FakeTurn] = field(default_factory=list)

    def halt(self, code: int = 137) -> None:
        """End as a killed container does."""
        self.running, self.frozen, self.exit_code = False, False, code
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
        self.volumes: dict[str, dict[str, Path]] = {}  # of a sandbox, by name; outlive containers
        self.room: int | None = None  # containers that the node has locks for; None: any number
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
        if self.room is not None and len(self.containers) >= self.room:
            raise errors.NodeFull
        number = next(self._numbers)
        roots = self.volumes.get(request.sandbox_id) or self.make_volumes(request.sandbox_id)
        made = FakeContainer(
            f"{number:064x}", installation, request, roots["workspace"], roots["home"]
        )
        self.containers[made.id] = made
        return made

    def make_volumes(self, sandbox_id: str) -> dict[str, Path]:
        """The sandbox's two volumes, empty."""
        folder = Path(self._folder.name) / f"{next(self._numbers)}"
        roots = {what: folder / what for what in ("workspace", "home")}
        for root in roots.values():
            root.mkdir(parents=True)
        self.volumes[sandbox_id] = roots
        return roots

    def vanish(self, container: str) -> None:
        """Lose a container, as a reset engine does; its volumes stay."""
        self.containers.pop(container).halt()

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
