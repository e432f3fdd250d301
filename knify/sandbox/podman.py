"""The driver of Podman, over its REST API: one container and two volumes per sandbox."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from knify import errors, ids
from knify.host import facts
from knify.sandbox import (
    api,
    base,
    channel,
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
)

_QUICK = 10.0  # seconds for calls that Podman answers from memory
_SLOW = 60.0  # seconds for those that create, start, stop or remove
_CLEANUP = 5.0  # seconds within which Podman has cleaned up after a stop


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
        self._images = imagestore.ImageStore(self._api)
        self._url = url
        self._installation = installation
        self._facts = host
        self._busybox = busybox
        self._shell: tuple[str, str | None] | None = None  # volume, seccomp profile

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
        if self._shell is None:
            await self.prepare()
        assert self._shell is not None
        marks = template.labels(self._installation, request)
        body = template.container(request, self._facts, marks, *self._shell)
        await asyncio.gather(
            *(
                volumes.make(
                    self._api,
                    self._installation,
                    template.volume_name(request.sandbox_id, what),
                    marks,
                )
                for what in ("workspace", "home")
            )
        )
        try:
            made = await self._api.call("POST", "/containers/create", body=body, timeout=_SLOW)
            seen = await self._look(made["Id"])
        except errors.SandboxTimeout:
            raise
        except errors.SandboxError as failed:
            if "image not known" in failed.message:
                await self.remove(request.sandbox_id)
                raise errors.ImageMissing(f"no image {request.image} on this node") from failed
            found = await self._ours(request.sandbox_id)  # its name may be taken: made before
            if found is None:
                raise
            seen = found
        volumes.furnish(seen)
        return str(seen["Id"])

    async def attach(self, container: str) -> base.Channel:
        """See `base.Driver`; SandboxRuns when it runs already."""
        seen = await self._settled(container)
        if views.runs(seen):
            raise errors.SandboxRuns
        backing = self._backing(seen)
        if backing.log.is_file():
            await asyncio.to_thread(os.truncate, backing.log, 0)
        # Not the other way round: between an attach, which initialises, and the start, the
        # belated clean-up of the last stop would tear the container's mounts down.
        await self._api.call("POST", f"/containers/{api.part(container)}/start", timeout=_SLOW)
        wire = await self._hijack(container)
        opened = channel.PodmanChannel(wire, ids.nonce(), backing)
        try:
            await opened.hello(functools.partial(self._pid, container))
        except BaseException:
            await opened.close()
            raise
        return opened

    async def reattach(
        self, container: str, nonce: str, skip_out: int = 0, skip_err: int = 0
    ) -> base.Channel:
        """See `base.Driver`; SandboxError when the supervisor does not answer."""
        seen = await self._look(container)
        wire = await self._rejoin(seen) if views.runs(seen) else None
        resumed = channel.PodmanChannel(wire, nonce, self._backing(seen), resuming=True)
        try:
            await resumed.resume({base.Stream.OUT: skip_out, base.Stream.ERR: skip_err})
        except BaseException:
            await resumed.close()
            if views.runs(await self._look(container)):
                raise
            resumed = channel.PodmanChannel(None, nonce, self._backing(seen), resuming=True)
            await resumed.resume({base.Stream.OUT: skip_out, base.Stream.ERR: skip_err})
        return resumed

    async def started(self, container: str, execution: str, nonce: str) -> bool:
        """See `base.Driver`. Read on the host, where no link of the agent's is followed.

        The agent can delete the marker in its home, but not its start from conmon's log.
        """
        seen = await self._look(container)
        home = hostfs.visible(views.mountpoint(seen, base.HOME))
        marker = f".knify/started/{turn.check_execution(execution)}"
        if await asyncio.to_thread(tree.exists, home, marker):
            return True
        return await asyncio.to_thread(logfile.has_start, self._backing(seen).log, nonce)

    async def logged(self, container: str, nonce: str) -> bool:
        """See `base.Driver`."""
        log = self._backing(await self._look(container)).log
        return await asyncio.to_thread(logfile.has_start, log, nonce)

    async def inspect(self, container: str) -> base.ContainerStatus | None:
        """See `base.Driver`."""
        try:
            return views.status(await self._look(container))
        except errors.SandboxGone:
            return None

    async def stop(self, container: str, grace: float = 0) -> bool:
        """See `base.Driver`."""
        try:
            if not grace and await self._killed(await self._look(container)):
                return True
            query = {"timeout": int(grace), "ignore": "true"}
            path = f"/containers/{api.part(container)}/stop"
            await self._api.call("POST", path, query=query, timeout=_SLOW + grace)
        except errors.SandboxGone:
            return False
        return True

    async def remove(self, sandbox_id: str) -> None:
        """See `base.Driver`."""
        found = await self._ours(sandbox_id)
        if found is not None:
            await self._delete(f"/containers/{found['Id']}", {"force": "true", "timeout": 0})
        for what in ("workspace", "home"):
            name = template.volume_name(sandbox_id, what)
            await asyncio.to_thread(inventory.remove_volume, self._url, self._installation, name)

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
        total = 0
        for what in ("workspace", "home"):
            root = await self._root(sandbox_id, what)
            total += await asyncio.to_thread(tree.usage, root, most - total)
        return total

    async def workspace_root(self, sandbox_id: str) -> Path:
        """See `base.Driver`."""
        return await self._root(sandbox_id, "workspace")

    # -- parts ------------------------------------------------------------------------------

    async def _root(self, sandbox_id: str, what: str) -> Path:
        name = template.volume_name(sandbox_id, what)
        seen = await self._api.call("GET", f"/volumes/{name}/json")
        return hostfs.visible(seen["Mountpoint"])

    async def _look(self, container: str) -> dict[str, Any]:
        seen = await self._api.call("GET", f"/containers/{api.part(container)}/json")
        return dict(seen)

    async def _settled(self, container: str) -> dict[str, Any]:
        """The same, once Podman has heard from conmon that a killed container has ended."""
        deadline = time.monotonic() + _CLEANUP
        while views.unnoticed(seen := await self._look(container)):
            if time.monotonic() > deadline:
                # Its conmon is dead, so Podman will never learn of the end, nor start it again.
                raise errors.SandboxGone("Podman lost track of the container")
            await asyncio.sleep(0.01)
        return seen

    async def _killed(self, seen: dict[str, Any]) -> bool:
        """End all of its processes at once; False when that is left to Podman.

        Podman's own stop kills too, but looks for the end every 100 ms only. With the init all
        processes of its namespace die; conmon sees to Podman's record and clean-up behind us.
        """
        if not (views.runs(seen) and views.watched(seen)):
            return False
        return await asyncio.to_thread(hostfs.kill, seen["State"]["Pid"], seen["Id"])

    async def _pid(self, container: str) -> int:
        return int((await self._look(container))["State"]["Pid"])

    async def _ours(self, sandbox_id: str) -> dict[str, Any] | None:
        """The sandbox's container; SandboxError when one of that name is not ours."""
        try:
            seen = await self._look(template.container_name(sandbox_id))
        except errors.SandboxGone:
            return None
        marks = seen["Config"].get("Labels") or {}
        if (marks.get(inventory.MARK), marks.get("knify.sandbox")) != (
            self._installation,
            sandbox_id,
        ):
            raise errors.SandboxError("a foreign container has this sandbox's name")
        return seen

    async def _hijack(self, container: str) -> api.Hijacked:
        query = {"stream": "true", "stdin": "true", "stdout": "true", "stderr": "true"}
        path = f"/containers/{api.part(container)}/attach"
        return await self._api.hijack(path, query | {"logs": "false"}, _SLOW)

    async def _rejoin(self, seen: dict[str, Any]) -> api.Hijacked:
        commands = await api.to_pipe(hostfs.orders(seen["State"]["Pid"]))
        commands.write(b"\n")  # ends a line that the last owner may have left unfinished
        try:
            return dataclasses.replace(await self._hijack(seen["Id"]), commands=commands)
        except BaseException:
            commands.close()
            raise

    async def _delete(self, path: str, query: dict[str, Any]) -> None:
        """Delete what may be gone already; Podman's own clean-up may hold it for a moment."""
        deadline = time.monotonic() + _CLEANUP
        while True:
            try:
                await self._api.call("DELETE", path, query=query, timeout=_SLOW)
            except errors.SandboxGone:
                return
            except errors.SandboxTimeout:
                raise
            except errors.SandboxError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    def _backing(self, seen: dict[str, Any]) -> channel.Backing:
        log = seen["HostConfig"]["LogConfig"]["Path"]
        folder = hostfs.visible(str(Path(log).parent))
        status: Callable[[], Awaitable[base.ContainerStatus | None]]
        status = functools.partial(self.inspect, seen["Id"])
        command = functools.partial(self._command, seen["Image"])
        return channel.Backing(folder / Path(log).name, status, command)

    async def _command(self, image: str) -> tuple[str, ...]:
        info = await self.image(image)
        return info.command if info is not None else ()
