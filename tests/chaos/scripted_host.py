"""A host of scripted sandboxes in a folder: it outlives the workers that die on it.

A container is a folder, its two volumes are others. Its command ends at once or waits for a
signal; that it was started is one hard link in the home volume, made with the whole output in it,
as the real supervisor's marker is made with noclobber.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

from knify import clock, errors
from knify.sandbox import archive, base, extract, treecopy

_LOOK = 0.05  # seconds between two looks at a command that waits
_PREFIX = "knify-"  # of names, which do for ids
_VOLUMES = ("workspace", "home")
_CODES = {"TERM": 143, "KILL": 137, "INT": 130, "HUP": 129}


class FolderChannel:
    """See `base.Channel`."""

    def __init__(self, box: Path, roots: dict[str, Path], skip: tuple[int, int] = (0, 0)) -> None:
        self._box, self._roots = box, roots
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
        self._files(key, kind)
        lines = [f"1 start {key}", *(f"{s} {w} {i}" for i in range(1, int(n or 0) + 1)
                 for s, w in ((1, "line"), (2, "err")))]  # fmt: skip
        text = "\n".join([turn.nonce, "hang" if kind == "hang" else "end", *lines])
        draft = self._box / f"draft.{uuid.uuid4().hex}"
        draft.write_text(text)
        started = self._roots["home"] / f"started.{turn.execution}"
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

    def _files(self, key: str, kind: str) -> None:
        """What earlier turns left must be here, whatever was packed and unpacked meanwhile."""
        workspace, noted = self._roots["workspace"], self._roots["home"] / "noted"
        for known in noted.glob("*"):
            file = workspace / f"{known.name}.txt"
            if not file.exists() or file.read_text() != known.name or file.stat().st_mode & 1 == 0:
                (self._box.parent.parent / "ran" / f"{key}.missing").touch()
        if kind == "file":
            file = workspace / f"{key}.txt"
            file.write_text(key)
            file.chmod(0o751)
            noted.mkdir(exist_ok=True)
            (noted / key).touch()

    async def signal(self, name: str) -> None:
        if self._turn is not None:
            self._signal.write_text(str(_CODES[name]))

    @property
    def _signal(self) -> Path:
        assert self._turn is not None
        return self._box / f"signal.{self._turn.name}"

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
        signal = self._signal
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
        self._boxes, self._volumes = root / "boxes", root / "volumes"
        self._flaky = root / "flaky"

    async def prepare(self) -> None:
        pass

    async def ping(self) -> None:
        pass

    async def create(self, request: base.SandboxRequest) -> str:
        # What a host does wrong is tried again.
        if self._fails(request.sandbox_id, "0"):
            raise errors.SandboxError("not this time")
        if not (self._volumes / request.sandbox_id).exists():
            draft = self._draft()
            with contextlib.suppress(FileExistsError, OSError):
                draft.rename(self._volumes / request.sandbox_id)
        (self._boxes / request.sandbox_id).mkdir(exist_ok=True)
        return request.sandbox_id

    async def attach(self, container: str) -> base.Channel:
        box = self._box(container)
        if self._fails(container, "1"):
            shutil.rmtree(box)
            raise errors.SandboxGone
        try:
            (box / "running").touch(exist_ok=False)
        except FileExistsError:
            raise errors.SandboxRuns from None
        return FolderChannel(box, self._roots(container))

    async def freeze(self, container: str) -> None:
        box = self._box(container)
        if not (box / "running").exists():
            raise errors.SandboxGone
        (box / "frozen").touch()

    async def thaw(self, container: str) -> base.Channel:
        box = self._box(container)
        if not (box / "running").exists():
            return await self.attach(container)
        (box / "frozen").unlink(missing_ok=True)
        return FolderChannel(box, self._roots(container))

    async def reattach(
        self, container: str, nonce: str, skip_out: int = 0, skip_err: int = 0
    ) -> base.Channel:
        box = self._box(container)
        channel = FolderChannel(box, self._roots(container), (skip_out, skip_err))
        channel.follow(self._turn(container, nonce))
        return channel

    async def started(self, container: str, execution: str, nonce: str) -> bool:
        return (self._roots(container)["home"] / f"started.{execution}").exists()

    async def logged(self, container: str, nonce: str) -> bool:
        return self._turn(container, nonce) is not None

    def _turn(self, container: str, nonce: str) -> Path | None:
        turns = self._roots(container)["home"].glob("started.*")
        return next((t for t in turns if t.read_text().startswith(f"{nonce}\n")), None)

    async def inspect(self, container: str) -> base.ContainerStatus | None:
        container = container.removeprefix(_PREFIX)
        box = self._boxes / container
        if not box.exists():
            return None
        runs = (box / "running").exists()
        code = None if runs else 137
        frozen = runs and (box / "frozen").exists()
        return base.ContainerStatus(
            container, container, runs, None, code, False, 0, {}, "image", "digest", frozen
        )

    async def stop(self, container: str, grace: float = 0) -> bool:
        container = container.removeprefix(_PREFIX)
        for name in ("running", "frozen"):
            (self._boxes / container / name).unlink(missing_ok=True)
        return (self._boxes / container).exists()

    async def remove(self, sandbox_id: str) -> None:
        shutil.rmtree(self._boxes / sandbox_id, ignore_errors=True)
        shutil.rmtree(self._volumes / sandbox_id, ignore_errors=True)

    async def rebuild(self, request: base.SandboxRequest) -> str:
        self._roots(request.sandbox_id)
        shutil.rmtree(self._boxes / request.sandbox_id, ignore_errors=True)
        (self._boxes / request.sandbox_id).mkdir()
        return request.sandbox_id

    async def pack(self, sandbox_id: str) -> AsyncIterator[bytes]:
        if (self._boxes / sandbox_id / "running").exists():
            raise errors.SandboxRuns
        if self._fails(sandbox_id, "2"):
            raise errors.SandboxError("not this time")
        for chunk in archive.pack(self._roots(sandbox_id)):
            yield chunk
            await asyncio.sleep(0)

    async def unpack(self, request: base.SandboxRequest, chunks: AsyncIterable[bytes]) -> str:
        if (self._boxes / request.sandbox_id / "running").exists():
            raise errors.SandboxRuns
        await self.remove(request.sandbox_id)
        content = b"".join([chunk async for chunk in chunks])
        draft = self._draft()
        extract.unpack(io.BytesIO(content), {name: draft / name for name in _VOLUMES})
        draft.rename(self._volumes / request.sandbox_id)
        (self._boxes / request.sandbox_id).mkdir(exist_ok=True)
        return request.sandbox_id

    async def seed(self, request: base.SandboxRequest, tree: Path) -> str:
        await self.remove(request.sandbox_id)
        draft = self._draft()
        treecopy.copy(tree, draft / "workspace")
        draft.rename(self._volumes / request.sandbox_id)
        (self._boxes / request.sandbox_id).mkdir(exist_ok=True)
        return request.sandbox_id

    async def digest(self, sandbox_id: str) -> str:
        return archive.digest(self._roots(sandbox_id))

    async def owned(self) -> list[base.Listed]:
        now = clock.now_ms()
        rows = [
            base.Listed("container", box.name, box.name, now, (box / "running").exists())
            for box in self._boxes.iterdir()
        ]
        return rows + [
            base.Listed("volume", f"{one.name}-home", one.name, now)
            for one in self._volumes.iterdir()
        ]

    async def image(self, name: str) -> base.ImageInfo | None:
        return base.ImageInfo(name, "image", "digest")

    async def images(self) -> list[base.ImageInfo]:
        return [base.ImageInfo("scripted", "image", "digest")]

    async def usage(self, sandbox_id: str, most: int) -> int:
        return 0

    async def workspace_root(self, sandbox_id: str) -> Path:
        return self._roots(sandbox_id)["workspace"]

    def _fails(self, sandbox_id: str, last: str) -> bool:
        """Once for each of those whose id ends so, one in 16 or 32."""
        if sandbox_id[-1] != last:
            return False
        with contextlib.suppress(FileExistsError):
            (self._flaky / sandbox_id).touch(exist_ok=False)
            return True
        return False

    def _draft(self) -> Path:
        """Two empty volumes, which are not there before they are complete."""
        draft = self._flaky.parent / "drafts" / uuid.uuid4().hex
        for name in _VOLUMES:
            (draft / name).mkdir(parents=True)
        return draft

    def _roots(self, sandbox_id: str) -> dict[str, Path]:
        roots = {name: self._volumes / sandbox_id / name for name in _VOLUMES}
        if not all(root.exists() for root in roots.values()):
            raise errors.SandboxGone
        return roots

    def _box(self, container: str) -> Path:
        box = self._boxes / container
        if not box.exists():
            raise errors.SandboxGone
        return box


def make(root: Path) -> None:
    """An empty host."""
    for name in ("boxes", "volumes", "drafts", "ran", "flaky"):
        (root / name).mkdir(parents=True, exist_ok=True)
