"""The port to containers: what a driver of sandboxes can do, and the values it speaks in.

A sandbox's main process is our own shell, the supervisor, waiting on its attached stdin. A turn
is one command that it runs. Drivers: `podman.PodmanDriver` and, for tests, `fake.FakeDriver`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from knify import model

CHUNK = 32 * 1024  # no frame of output is longer
WORKSPACE = "/workspace"
HOME = "/home/agent"
RUN = "/run/knify"  # a private tmpfs: scripts, prompts, secrets


class Stream(IntEnum):
    """Which of the job's two streams some bytes came from."""

    OUT = 1
    ERR = 2


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """What a new sandbox needs; everything else about it is fixed by the template."""

    sandbox_id: str
    image: str
    resources: model.Resources = field(default_factory=model.Resources)
    tenant: str | None = None  # becomes a label


@dataclass(frozen=True, slots=True)
class Turn:
    """One command to be run in a sandbox."""

    execution: str  # names the marker: sent twice, it starts once
    nonce: str  # 128 bits in hex; marks this turn's output
    argv: tuple[str, ...] | None = None  # None: the image's ENTRYPOINT and CMD
    env: dict[str, str] = field(default_factory=dict)  # never visible in `podman inspect`
    cwd: str = WORKSPACE
    stdin: str | None = None  # a file in the sandbox that it reads, once; None: closed input


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn's stream ended."""

    exit_code: int | None  # the job's own, or the container's when there was no marker
    marker: bool  # False: the container ended before the job's end was reported


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """What a look at a container showed."""

    id: str
    sandbox_id: str
    running: bool  # a live process of this container exists, whatever Podman says
    pid: int | None  # of the container's init, while it runs
    exit_code: int | None  # the container's, once it has stopped
    oom_killed: bool  # Podman says that the kernel killed the container for memory
    oom_kills: int | None  # processes the kernel killed in it since this start; None: unknown
    labels: dict[str, str]
    image: str  # the image's id
    digest: str  # the image's digest
    frozen: bool = False  # it runs, but none of its processes is given the CPU
    stuck: bool = False  # its conmon is dead: no output, no second start; `rebuild` it


@dataclass(frozen=True, slots=True)
class Listed:
    """A container or volume that this installation made."""

    kind: str  # container | volume
    name: str
    sandbox_id: str
    created_at: int  # ms since the epoch
    running: bool = False


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the driver knows about an image on this node."""

    name: str
    id: str
    digest: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    size: int = 0  # bytes

    @property
    def command(self) -> tuple[str, ...]:
        """What the image runs when no command is given."""
        return self.entrypoint + self.cmd


class Channel(Protocol):
    """An open line to a sandbox's supervisor. One owner at a time; requests may overlap.

    Whoever holds one must keep reading `frames()`: a reader that stops stops the job.
    """

    @property
    def end(self) -> TurnEnd | None:
        """How the turn ended; None while it runs."""

    @property
    def job_pid(self) -> int | None:
        """The job's first process and process group, as numbered inside the sandbox."""

    async def put_tar(self, dest: str, data: bytes | AsyncIterable[bytes], size: int) -> None:
        """Unpack a tar of exactly `size` bytes below `dest`; its owner is the agent."""

    async def put_file(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Write one small file, folders included."""

    async def run(self, turn: Turn) -> bool:
        """Start the turn; False when this execution was started here before."""

    async def signal(self, name: str) -> None:
        """Send TERM, INT, HUP or KILL to the job's process group."""

    async def mark(self) -> None:
        """Return when the supervisor has answered: it lives and all earlier output is here."""

    def frames(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """The job's own bytes, exactly, until the turn ends; then `end` is set. Iterate once."""

    async def close(self) -> None:
        """Hang up; the job goes on."""


class Driver(Protocol):
    """What runs sandboxes on one node. Every call ends in time or raises a SandboxError."""

    async def prepare(self) -> None:
        """Make what all sandboxes share; safe to repeat and to race."""

    async def ping(self) -> None:
        """Raise unless the engine answers."""

    async def create(self, request: SandboxRequest) -> str:
        """Make the sandbox, stopped, and return its container's id; made before, it is reused.

        NodeFull when the engine has no lock or user ids left: archive or remove some first.
        """

    async def attach(self, container: str) -> Channel:
        """Start a stopped sandbox and open the line to it.

        Its earlier output log is dropped: whoever needs that has read it. SandboxRuns when it
        runs, frozen or not; SandboxGone when there is none or the engine has lost track of it,
        running or not: `rebuild` makes it anew.
        """

    async def reattach(
        self, container: str, nonce: str, skip_out: int = 0, skip_err: int = 0
    ) -> Channel:
        """Follow a turn that another process started, behind the bytes already stored."""

    async def freeze(self, container: str) -> None:
        """Between two turns: let nothing in it run any more, but keep its memory for `thaw`.

        Frozen before, nothing happens. SandboxError when processes of the last job are left:
        `stop` it then. SandboxGone when it does not run, or its conmon is dead. The caller's
        channel is of no more use and still to be closed.
        """

    async def thaw(self, container: str) -> Channel:
        """Open the line to a frozen sandbox, ready for the next `run`.

        As `attach`, it drops the earlier output log. One that was thawed before and waits for
        its turn is joined; one that has stopped meanwhile is attached to. SandboxGone: `rebuild`.
        What it had in its tmpfs is still there, unlike after a stop.
        """

    async def started(self, container: str, execution: str, nonce: str) -> bool:
        """Whether this execution was ever started in this sandbox, with this turn's nonce."""

    async def logged(self, container: str, nonce: str) -> bool:
        """Whether its log holds this turn's start: it goes with the next turn's attach."""

    async def inspect(self, container: str) -> ContainerStatus | None:
        """What the container is doing; None when there is none."""

    async def stop(self, container: str, grace: float = 0) -> bool:
        """Stop it, by SIGTERM first if there is a grace (seconds); False when there is none.

        Works on frozen and stuck ones, which get no grace.
        """

    async def remove(self, sandbox_id: str) -> None:
        """Remove container and volumes; done before, it does nothing."""

    async def rebuild(self, request: SandboxRequest) -> str:
        """Make the container anew over the sandbox's volumes, stopped; its id, a new one.

        Whatever runs in the old one is killed. Files keep contents, modes, times and extended
        attributes; tmpfs and output log are lost. To be repeated when the caller died in its
        midst. SandboxGone when the volumes are gone or hold a half unpacked tree; ImageMissing
        and NodeFull as for `create`.
        """

    def pack(self, sandbox_id: str) -> AsyncIterator[bytes]:
        """The files of a stopped sandbox as a tar, in chunks of about 1 MiB.

        Members are `workspace/…` and `home/…` in a fixed order: folders, regular files (with
        holes), hard links and symlinks, with modes and times in ns. Devices, FIFOs, sockets,
        set-id bits and extended attributes are left out. The same tree gives the same bytes.
        SandboxGone when there are no volumes, SandboxRuns while it runs, TooLarge for folders
        nested deeper than 256.
        """

    async def unpack(self, request: SandboxRequest, chunks: AsyncIterable[bytes]) -> str:
        """Make the sandbox, stopped, out of what `pack` gave; its container's id.

        What this node had of the sandbox is removed first, whole or half made. The container is
        made only when all files are there, so a death on the way leaves nothing that looks whole.
        SandboxRuns when it runs here; BadRequest for a tar that `pack` did not make; what
        `chunks` raises; ImageMissing and NodeFull as for `create`.
        """

    async def seed(self, request: SandboxRequest, tree: Path) -> str:
        """Make the sandbox, stopped, its workspace a copy of this folder; its container's id.

        `tree` is the worker's own, and nobody else writes to it. What this node had of the sandbox
        is removed first, even running; the rest as for `unpack`.
        """

    async def digest(self, sandbox_id: str) -> str:
        """A hash (hex) over all that `pack` keeps, the same before and after; SandboxGone."""

    async def owned(self) -> list[Listed]:
        """Containers and volumes of sandboxes of this installation, and of no other."""

    async def image(self, name: str) -> ImageInfo | None:
        """The image, if this node has it."""

    async def images(self) -> list[ImageInfo]:
        """All named images of this node."""

    async def usage(self, sandbox_id: str, most: int) -> int:
        """Bytes that the sandbox's files take; more than `most` is not measured exactly."""

    async def workspace_root(self, sandbox_id: str) -> Path:
        """The workspace as a folder of this host; read it with `tree` only, it is hostile."""
