"""A host of scripted sandboxes in a folder: it outlives the workers that die on it.

A container is a folder. Its command ends at once or waits for a signal; that it was started is one
hard link, made with the whole output in it, as the real supervisor's marker is made with noclobber.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

from knify import clock, errors
from knify.sandbox import base

_LOOK = 0.05  # seconds between two looks at a command that waits
_CODES = {"TERM": 143, "KILL": 137, "INT": 130, "HUP": 129}


class FolderChannel:
    """See `base.Channel`."""

    def __init__(self, box: Path, skip: tuple[int, int] = (0, 0)) -> None:
        self._box = box
        self._skip = dict(zip(base.Stream, skip, strict=True))
        self._turn: Path | None = None
        self._closed = False
        self.end: base.TurnEnd | None = None
        self.job_pid: int | None = None

    def follow(self, turn: Path | None) -> None:
        self._turn, self.job_pid = turn, 100

    async def put_tar(self, dest: str, data: bytes | AsyncIterable[bytes], size: int) -> None:
        content = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        if len(content) != size:
            raise errors.BadRequest("another size was announced")
        (self._box / "tar").write_bytes(content)

    async def put_file(self, path: str, data: bytes, mode: int = 0o600) -> None:
        (self._box / "file").write_bytes(data)

    async def run(self, turn: base.Turn) -> bool:
        key, kind, n = (*(turn.argv or ())[1:4], "", "", "")[:3]
        if kind == "file":
            (self._box / "workspace" / f"{key}.txt").write_text(key)
        lines = [f"1 start {key}", *(f"{s} {w} {i}" for i in range(1, int(n or 0) + 1)
                 for s, w in ((1, "line"), (2, "err")))]  # fmt: skip
        text = "\n".join([turn.nonce, "hang" if kind == "hang" else "end", *lines])
        draft = self._box / f"draft.{uuid.uuid4().hex}"
        draft.write_text(text)
        started = self._box / f"started.{turn.execution}"
        try:
            started.hardlink_to(draft)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        # Where a second sandbox of the same execution would show, too.
        ran = self._box.parent.parent / "ran" / turn.execution
        with contextlib.suppress(FileExistsError):
            ran.touch(exist_ok=False)
            self.follow(started)
            return True
        ran.with_suffix(".again").touch()
        self.follow(started)
        return True

    async def signal(self, name: str) -> None:
        if self._turn is not None:
            self._turn.with_name(f"signal.{self._turn.name}").write_text(str(_CODES[name]))

    async def mark(self) -> None:
        pass

    async def frames(self) -> AsyncIterator[tuple[base.Stream, bytes]]:
        if self._turn is None:
            self.end = base.TurnEnd(None, False)
            return
        _, how, *lines = self._turn.read_text().split("\n")
        for stream in base.Stream:
            said = [line[2:] for line in lines if line[0] == str(int(stream))]
            data = "".join(f"{line}\n" for line in said).encode()[self._skip[stream] :]
            if data:
                yield stream, data
        signal = self._turn.with_name(f"signal.{self._turn.name}")
        while self.end is None:
            if how == "end":
                self.end = base.TurnEnd(0, True)
            elif signal.exists():
                self.end = base.TurnEnd(int(signal.read_text() or 143), True)
            elif not (self._box / "running").exists():
                self.end = base.TurnEnd(137, False)
            elif self._closed:
                raise errors.SandboxError("the line broke")
            else:
                await asyncio.sleep(_LOOK)

    async def close(self) -> None:
        self._closed = True


class FolderDriver:
    """See `base.Driver`. A container's id is its sandbox's."""

    def __init__(self, root: Path) -> None:
        self._boxes = root / "boxes"
        self._flaky = root / "flaky"

    async def prepare(self) -> None:
        pass

    async def ping(self) -> None:
        pass

    async def create(self, request: base.SandboxRequest) -> str:
        # One in 16 fails once: what a host does wrong is tried again.
        if request.sandbox_id[-1] == "0":
            with contextlib.suppress(FileExistsError):
                (self._flaky / request.sandbox_id).touch(exist_ok=False)
                raise errors.SandboxError("not this time")
        (self._boxes / request.sandbox_id / "workspace").mkdir(parents=True, exist_ok=True)
        return request.sandbox_id

    async def attach(self, container: str) -> base.Channel:
        box = self._box(container)
        try:
            (box / "running").touch(exist_ok=False)
        except FileExistsError:
            raise errors.SandboxRuns from None
        return FolderChannel(box)

    async def reattach(
        self, container: str, nonce: str, skip_out: int = 0, skip_err: int = 0
    ) -> base.Channel:
        box = self._box(container)
        channel = FolderChannel(box, (skip_out, skip_err))
        turns = (t for t in box.glob("started.*") if t.read_text().startswith(f"{nonce}\n"))
        channel.follow(next(turns, None))
        return channel

    async def started(self, container: str, execution: str, nonce: str) -> bool:
        return (self._box(container) / f"started.{execution}").exists()

    async def inspect(self, container: str) -> base.ContainerStatus | None:
        box = self._boxes / container
        if not box.exists():
            return None
        runs = (box / "running").exists()
        code = None if runs else 137
        return base.ContainerStatus(
            container, container, runs, None, code, False, 0, {}, "image", "digest"
        )

    async def stop(self, container: str, grace: float = 0) -> bool:
        (self._boxes / container / "running").unlink(missing_ok=True)
        return (self._boxes / container).exists()

    async def remove(self, sandbox_id: str) -> None:
        shutil.rmtree(self._boxes / sandbox_id, ignore_errors=True)

    async def owned(self) -> list[base.Listed]:
        now = clock.now_ms()
        return [
            base.Listed("container", box.name, box.name, now, (box / "running").exists())
            for box in self._boxes.iterdir()
        ]

    async def image(self, name: str) -> base.ImageInfo | None:
        return base.ImageInfo(name, "image", "digest")

    async def images(self) -> list[base.ImageInfo]:
        return [base.ImageInfo("scripted", "image", "digest")]

    async def usage(self, sandbox_id: str, most: int) -> int:
        return 0

    async def workspace_root(self, sandbox_id: str) -> Path:
        return self._box(sandbox_id) / "workspace"

    def _box(self, container: str) -> Path:
        box = self._boxes / container
        if not box.exists():
            raise errors.SandboxGone
        return box


def make(root: Path) -> None:
    """An empty host."""
    for name in ("boxes", "ran", "flaky"):
        (root / name).mkdir(parents=True, exist_ok=True)
