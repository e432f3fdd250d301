"""The driver of Podman, over its REST API: one container and two volumes per sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from knify import errors, ids
from knify.host import facts
from knify.sandbox import (
    api,
    archive,
    base,
    channel,
    containers,
    hostfs,
    imagestore,
    inventory,
    logfile,
    shellvolume,
    template,
    tree,
    turn,
    views,
    volumes,
    wires,
)

_QUICK = 10.0  # seconds for calls that Podman answers from memory
_MEASURED = 1_000  # sandboxes whose folders are remembered


class PodmanDriver:
    """See `base.Driver`. One instance serves one event loop."""

    def __init__(
        self,
        url: str,
        installation: str,
        host: facts.HostFacts,
        busybox: Path = Path("/bin/busybox"),
    ) -> None:
        """`url` is Podman's socket as `unix:///path`."""
        self._api = api.Api(url, _QUICK)
        self._containers = containers.Containers(self._api, installation)
        self._images = imagestore.ImageStore(self._api)
        self._url = url
        self._installation = installation
        self._facts = host
        self._busybox = busybox
        self._shell: tuple[str, str | None] | None = None  # volume, seccomp profile
        self._measured: dict[str, volumes.Roots] = {}  # asking Podman costs more than measuring

    async def prepare(self) -> None:
        """See `base.Driver`."""
        files = await asyncio.to_thread(shellvolume.contents, self._busybox)
        name = f"knify-{self._installation}-shell-{shellvolume.digest(files)}"
        marks = {inventory.MARK: self._installation, "knify.shell": "1"}
        mountpoint = await volumes.make(self._api, self._installation, name, marks)
        await asyncio.to_thread(shellvolume.fill, hostfs.visible(mountpoint), files)
        profile = f"{mountpoint}/seccomp.json" if "seccomp.json" in files else None
        self._shell = (name, profile)
        await asyncio.to_thread(inventory.remove_old_shells, self._url, self._installation, name)

    async def ping(self) -> None:
        """See `base.Driver`."""
        await self._api.call("GET", "/_ping", timeout=5)

    async def create(self, request: base.SandboxRequest) -> str:
        """See `base.Driver`; ImageMissing when this node has no such image."""
        marks = template.labels(self._installation, request)
        roots = await volumes.make_all(self._api, self._installation, request.sandbox_id, marks)
        found = await self._containers.ours(request.sandbox_id)
        try:
            if found is None:
                await asyncio.to_thread(volumes.check, roots)
                found = await self._make(request)
        except (errors.BadRequest, errors.NodeFull):
            if volumes.untouched(roots):
                await self.remove(request.sandbox_id)
            raise
        await asyncio.to_thread(volumes.furnish, found)
        return str(found["Id"])

    async def _make(self, request: base.SandboxRequest) -> dict[str, Any]:
        """A container over the sandbox's volumes, not yet furnished."""
        if self._shell is None:
            await self.prepare()
        assert self._shell is not None
        marks = template.labels(self._installation, request)
        body = template.container(request, self._facts, marks, *self._shell)
        return await self._containers.make(request, body)

    async def attach(self, container: str) -> base.Channel:
        """See `base.Driver`; SandboxRuns when it runs already."""
        seen = await self._containers.settled(container)
        if views.runs(seen):
            raise errors.SandboxRuns
        await wires.forget(wires.log(seen))
        # Not the other way round: between an attach, which initialises, and the start, the
        # belated clean-up of the last stop would tear the container's mounts down.
        await self._api.call(
            "POST", f"/containers/{api.part(container)}/start", timeout=containers.SLOW
        )
        wire = await wires.attach(self._api, container)
        opened = channel.PodmanChannel(wire, ids.nonce(), self._backing(seen))
        try:
            await opened.hello(functools.partial(self._containers.pid, container), seen["Id"])
        except BaseException:
            await opened.close()
            raise
        return opened

    async def reattach(
        self, container: str, nonce: str, skip_out: int = 0, skip_err: int = 0
    ) -> base.Channel:
        """See `base.Driver`; SandboxError when the supervisor does not answer."""
        seen = await self._containers.look(container)
        wire = await wires.rejoin(self._api, seen) if views.runs(seen) else None
        resumed = channel.PodmanChannel(wire, nonce, self._backing(seen), resuming=True)
        try:
            await resumed.resume({base.Stream.OUT: skip_out, base.Stream.ERR: skip_err})
        except BaseException:
            await resumed.close()
            if views.runs(await self._containers.look(container)):
                raise
            resumed = channel.PodmanChannel(None, nonce, self._backing(seen), resuming=True)
            await resumed.resume({base.Stream.OUT: skip_out, base.Stream.ERR: skip_err})
        return resumed

    async def freeze(self, container: str) -> None:
        """See `base.Driver`."""
        await self._containers.freeze(container)

    async def thaw(self, container: str) -> base.Channel:
        """See `base.Driver`."""
        seen = await self._containers.settled(container)
        if not views.runs(seen):
            return await self.attach(container)
        await wires.forget(wires.log(seen))
        if views.frozen(seen):
            await self._containers.thaw(seen)
        wire = await wires.rejoin(self._api, seen)
        opened = channel.PodmanChannel(wire, ids.nonce(), self._backing(seen))
        opened.keep_awake(seen["State"]["Pid"], seen["Id"])
        try:
            await opened.mark()
        except BaseException:
            await opened.close()
            raise
        return opened

    async def started(self, container: str, execution: str, nonce: str) -> bool:
        """See `base.Driver`. Read on the host, where no link of the agent's is followed.

        The agent can delete the marker in its home, but not its start from conmon's log.
        """
        seen = await self._containers.look(container)
        home = hostfs.visible(views.mountpoint(seen, base.HOME))
        marker = f".knify/started/{turn.check_execution(execution)}"
        if await asyncio.to_thread(tree.exists, home, marker):
            return True
        return await asyncio.to_thread(logfile.has_start, wires.log(seen), nonce)

    async def logged(self, container: str, nonce: str) -> bool:
        """See `base.Driver`."""
        log = wires.log(await self._containers.look(container))
        return await asyncio.to_thread(logfile.has_start, log, nonce)

    async def inspect(self, container: str) -> base.ContainerStatus | None:
        """See `base.Driver`."""
        try:
            seen = await self._containers.look(container)
            return views.status(seen, await self._containers.stuck(seen))
        except errors.SandboxGone:
            return None

    async def stop(self, container: str, grace: float = 0) -> bool:
        """See `base.Driver`."""
        try:
            await self._containers.stop(container, grace)
        except errors.SandboxGone:
            return False
        return True

    async def remove(self, sandbox_id: str) -> None:
        """See `base.Driver`."""
        await self._containers.remove(sandbox_id)
        for what in volumes.NAMES:
            name = template.volume_name(sandbox_id, what)
            await asyncio.to_thread(inventory.remove_volume, self._url, self._installation, name)

    async def rebuild(self, request: base.SandboxRequest) -> str:
        """See `base.Driver`."""
        await self._roots(request.sandbox_id)
        await self._containers.remove(request.sandbox_id)
        return await self._furnished(request)

    async def pack(self, sandbox_id: str) -> AsyncIterator[bytes]:
        """See `base.Driver`."""
        found = await self._containers.ours(sandbox_id)
        if found is not None and views.runs(found):
            raise errors.SandboxRuns
        async with contextlib.aclosing(volumes.pack(await self._roots(sandbox_id))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def unpack(self, request: base.SandboxRequest, chunks: AsyncIterable[bytes]) -> str:
        """See `base.Driver`.

        Volumes that are being filled belong to root, so that neither `create` nor `rebuild` takes
        them for a sandbox's; they are given to the agent last, behind the container's making.
        """
        found = await self._containers.ours(request.sandbox_id)
        if found is not None and views.runs(found):
            raise errors.SandboxRuns
        return await self._refilled(request, lambda roots: volumes.fill(roots, chunks))

    async def seed(self, request: base.SandboxRequest, tree: Path) -> str:
        """See `base.Driver`; volumes as in `unpack`."""
        return await self._refilled(request, lambda roots: volumes.copy(tree, roots["workspace"]))

    async def _refilled(
        self, request: base.SandboxRequest, fill: Callable[[volumes.Roots], Awaitable[None]]
    ) -> str:
        if await self.image(request.image) is None:
            raise errors.ImageMissing(f"no image {request.image} on this node")
        await self.remove(request.sandbox_id)
        marks = template.labels(self._installation, request)
        try:
            roots = await volumes.make_all(self._api, self._installation, request.sandbox_id, marks)
            await fill(roots)
            return await self._furnished(request)
        except Exception:
            with contextlib.suppress(errors.SandboxError):
                await self.remove(request.sandbox_id)
            raise

    async def _furnished(self, request: base.SandboxRequest) -> str:
        made = await self._make(request)
        await asyncio.to_thread(volumes.furnish, made)
        return str(made["Id"])

    async def digest(self, sandbox_id: str) -> str:
        """See `base.Driver`."""
        return await asyncio.to_thread(archive.digest, await self._roots(sandbox_id))

    async def owned(self) -> list[base.Listed]:
        """See `base.Driver`."""
        return await asyncio.to_thread(inventory.owned, self._url, self._installation)

    async def image(self, name: str) -> base.ImageInfo | None:
        """See `base.Driver`."""
        return await self._images.find(name)

    async def images(self) -> list[base.ImageInfo]:
        """See `base.Driver`."""
        return await self._images.all()

    async def usage(self, sandbox_id: str, most: int) -> int:
        """See `base.Driver`."""
        roots = self._measured.get(sandbox_id)
        if roots is None or not all(root.is_dir() for root in roots.values()):
            if len(self._measured) >= _MEASURED:
                self._measured.clear()
            roots = self._measured[sandbox_id] = await self._roots(sandbox_id)
        total = 0
        for root in roots.values():
            total += await asyncio.to_thread(tree.usage, root, most - total)
        return total

    async def workspace_root(self, sandbox_id: str) -> Path:
        """See `base.Driver`."""
        return (await self._roots(sandbox_id))["workspace"]

    async def _roots(self, sandbox_id: str) -> volumes.Roots:
        return await volumes.find(self._api, self._installation, sandbox_id)

    def _backing(self, seen: dict[str, Any]) -> channel.Backing:
        inspect = functools.partial(self.inspect, seen["Id"])
        command = functools.partial(self._command, seen["Image"])
        return channel.Backing(wires.log(seen), inspect, command)

    async def _command(self, image: str) -> tuple[str, ...]:
        info = await self.image(image)
        return info.command if info is not None else ()
