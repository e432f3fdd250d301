"""A scripted stand-in for Podman, for tests: no mock, it keeps the whole contract in memory.

Containers live in a `fakehost.FakeHost`; drivers that share one see the same containers, so a
worker's death is played by dropping its driver and making another.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

from knify import errors
from knify.sandbox import (
    archive,
    base,
    extract,
    fakechannel,
    fakehost,
    template,
    tree,
    treecopy,
    turn,
)


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
        if box.stuck:
            raise errors.SandboxGone
        if box.running:
            raise errors.SandboxRuns
        box.running, box.exit_code, box.turns = True, None, []
        opened = fakechannel.FakeChannel(self._host, box)
        await opened.mark()
        return opened

    async def reattach(
        self, container: str, nonce: str, skip_out: int = 0, skip_err: int = 0
    ) -> base.Channel:
        """See `base.Driver`."""
        self._call("reattach")
        box = self._get(container)
        opened = fakechannel.FakeChannel(self._host, box)
        if box.running:
            await opened.mark()  # deaf or frozen: an error
        lost = fakehost.FakeTurn(
            nonce, end=None if box.running else base.TurnEnd(box.exit_code, False)
        )
        running = next((one for one in box.turns if one.nonce == nonce), lost)
        opened.follow(running, {base.Stream.OUT: skip_out, base.Stream.ERR: skip_err})
        return opened

    async def freeze(self, container: str) -> None:
        """See `base.Driver`."""
        self._call("freeze")
        box = self._get(container)
        if not box.running or box.stuck:
            raise errors.SandboxGone
        if any(one.end is None for one in box.turns):
            raise errors.SandboxError("the sandbox still works")
        box.frozen = True

    async def thaw(self, container: str) -> base.Channel:
        """See `base.Driver`."""
        self._call("thaw")
        box = self._get(container)
        if not box.running or box.stuck:
            return await self.attach(container)
        box.frozen, box.turns = False, []
        opened = fakechannel.FakeChannel(self._host, box)
        await opened.mark()
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
            frozen=box.frozen,
            stuck=box.stuck,
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
        self._drop(sandbox_id)
        self._host.volumes.pop(sandbox_id, None)

    async def rebuild(self, request: base.SandboxRequest) -> str:
        """See `base.Driver`."""
        self._call("rebuild")
        if request.sandbox_id not in self._host.volumes:
            raise errors.SandboxGone
        self._drop(request.sandbox_id)
        return self._host.make(self._installation, request).id

    async def pack(self, sandbox_id: str) -> AsyncIterator[bytes]:
        """See `base.Driver`."""
        self._call("pack")
        box = self._find(sandbox_id)
        if box is not None and box.running:
            raise errors.SandboxRuns
        for chunk in archive.pack(self._roots(sandbox_id)):
            yield chunk
            await asyncio.sleep(0)

    async def unpack(self, request: base.SandboxRequest, chunks: AsyncIterable[bytes]) -> str:
        """See `base.Driver`; holds the tar in memory."""
        self._call("unpack")
        box = self._find(request.sandbox_id)
        if box is not None and box.running:
            raise errors.SandboxRuns
        if request.image not in self._host.found:
            raise errors.ImageMissing(f"no image {request.image} on this node")
        self._drop(request.sandbox_id)
        self._host.volumes.pop(request.sandbox_id, None)
        content = b"".join([chunk async for chunk in chunks])
        roots = self._host.make_volumes(request.sandbox_id)
        try:
            extract.unpack(io.BytesIO(content), roots)
            return self._host.make(self._installation, request).id
        except BaseException:
            del self._host.volumes[request.sandbox_id]
            raise

    async def seed(self, request: base.SandboxRequest, tree: Path) -> str:
        """See `base.Driver`."""
        self._call("seed")
        if request.image not in self._host.found:
            raise errors.ImageMissing(f"no image {request.image} on this node")
        self._drop(request.sandbox_id)
        self._host.volumes.pop(request.sandbox_id, None)
        treecopy.copy(tree, self._host.make_volumes(request.sandbox_id)["workspace"])
        return self._host.make(self._installation, request).id

    async def digest(self, sandbox_id: str) -> str:
        """See `base.Driver`."""
        self._call("digest")
        return archive.digest(self._roots(sandbox_id))

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
        return self._roots(sandbox_id)["workspace"]

    def _call(self, verb: str) -> None:
        self._host.calls.append(verb)
        if self._host.down:
            raise errors.SandboxTimeout

    def _roots(self, sandbox_id: str) -> dict[str, Path]:
        if sandbox_id not in self._host.volumes:
            raise errors.SandboxGone
        return self._host.volumes[sandbox_id]

    def _drop(self, sandbox_id: str) -> None:
        box = self._find(sandbox_id)
        if box is not None:
            box.halt()
            del self._host.containers[box.id]

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
