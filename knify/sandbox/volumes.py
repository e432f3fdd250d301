"""The two volumes of a sandbox: made with our labels, filled, and given to the agent.

A volume belongs to the host's root until all is in it and a container stands over it: until then
it is half made, and nobody takes it for the sandbox.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from pathlib import Path
from typing import Any, TypeVar

from knify import errors
from knify.sandbox import api, archive, base, extract, hostfs, inventory, template, treecopy, views

NAMES = ("workspace", "home")
Roots = dict[str, Path]
T = TypeVar("T")
_SECONDS = 60.0


async def make(client: api.Api, installation: str, name: str, marks: dict[str, str]) -> str:
    """A labelled volume, made unless it is there; its folder on the host."""
    # With ids given, Podman leaves the folder's owner alone; else it would follow the image.
    body = {"Name": name, "Labels": marks, "Options": {"o": "uid=0,gid=0"}}
    try:
        seen = await client.call("POST", "/volumes/create", body=body, timeout=_SECONDS)
    except (errors.SandboxGone, errors.NodeFull):
        raise
    except errors.SandboxError:
        seen = await client.call("GET", f"/volumes/{name}/json")
        if (seen.get("Labels") or {}).get(inventory.MARK) != installation:
            raise errors.SandboxError(f"a foreign volume is called {name}") from None
    return str(seen["Mountpoint"])


async def make_all(
    client: api.Api, installation: str, sandbox_id: str, marks: dict[str, str]
) -> Roots:
    """Both volumes of a sandbox."""
    places = await asyncio.gather(
        *(
            make(client, installation, template.volume_name(sandbox_id, what), marks)
            for what in NAMES
        )
    )
    return {what: hostfs.visible(at) for what, at in zip(NAMES, places, strict=True)}


async def find(client: api.Api, installation: str, sandbox_id: str) -> Roots:
    """Both volumes; SandboxGone when one is missing, not ours or half made."""
    roots: Roots = {}
    for what in NAMES:
        seen = await client.call("GET", f"/volumes/{template.volume_name(sandbox_id, what)}/json")
        marks = seen.get("Labels") or {}
        if (marks.get(inventory.MARK), marks.get("knify.sandbox")) != (installation, sandbox_id):
            raise errors.SandboxGone("a foreign volume has this sandbox's name")
        roots[what] = hostfs.visible(seen["Mountpoint"])
    if any(_half_made(root) for root in roots.values()):
        raise errors.SandboxGone("the sandbox was never finished")
    return roots


def check(roots: Roots) -> None:
    """Ready for a container: SandboxError when a death left them in the midst of unpacking."""
    for root in roots.values():
        if _half_made(root):
            if any(root.iterdir()):
                raise errors.SandboxError("the sandbox is half unpacked")
            hostfs.own(root, 0, 0, 0o755)


def untouched(roots: Roots) -> bool:
    """Whether they never were a sandbox's."""
    return all(_half_made(root) for root in roots.values())


def _half_made(root: Path) -> bool:
    return root.stat().st_uid == 0


def furnish(seen: dict[str, Any]) -> None:
    """Give a fresh container's folders to the agent, as its user namespace numbers it."""
    if seen["State"]["Status"] not in ("created", "configured"):
        return
    maps = seen["HostConfig"].get("IDMappings") or {}
    uid = functools.partial(hostfs.mapped, maps.get("UidMap"))
    gid = functools.partial(hostfs.mapped, maps.get("GidMap"))
    for dest in (base.WORKSPACE, base.HOME):
        hostfs.give(
            hostfs.visible(views.mountpoint(seen, dest)), uid(template.UID), gid(template.UID)
        )
    upper = (seen.get("GraphDriver") or {}).get("Data", {}).get("UpperDir")
    if upper:
        hostfs.mountpoints(hostfs.visible(upper), list(template.TMPFS), (uid(0), gid(0)))


async def pack(roots: Roots) -> AsyncGenerator[bytes, None]:
    """See `base.Driver.pack`."""
    chunks = archive.pack(roots)
    try:
        while (chunk := await _to_its_end(lambda: next(chunks, None))) is not None:
            yield chunk
    except OSError as failed:
        raise errors.SandboxError(f"the files cannot be read: {failed.strerror}") from failed
    finally:
        chunks.close()


async def fill(roots: Roots, chunks: AsyncIterable[bytes]) -> None:
    """Unpack into both, and onto the disk; see `base.Driver.unpack`."""
    source = _Source(chunks)

    def work() -> None:
        extract.unpack(source, roots)
        for root in roots.values():
            _sync(root)

    try:
        await _to_its_end(work, source.cancel)
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


async def copy(tree: Path, root: Path) -> None:
    """Fill an empty volume with a copy of the worker's own folder."""
    await _to_its_end(lambda: treecopy.copy(tree, root))


class _Source:
    """Chunks of an asynchronous iterator for a thread, one at a time."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks = aiter(chunks)
        self._cancelled = False
        self._asked: asyncio.Task[Any] | None = None  # touched in the loop alone
        self._over = False

    def cancel(self) -> None:
        """Let `read` fail from now on, also one that waits."""
        self._cancelled = True
        if self._asked is not None:
            self._asked.cancel()

    def read(self, size: int, /) -> bytes:
        if self._over:
            return b""
        return asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()

    async def _next(self) -> bytes:
        self._asked = asyncio.current_task()
        if self._cancelled:
            raise errors.SandboxError("given up")
        async for chunk in self._chunks:
            if chunk:
                return chunk
        self._over = True
        return b""


async def _to_its_end(work: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
    """Run in a thread; a cancelled caller is let go when the thread has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if cancel is not None:
            cancel()
        await asyncio.wait({task})
        task.exception()  # nobody else will ask for it
        raise


def _sync(root: Path) -> None:
    """Onto the disk, before Podman's record says that there is a sandbox."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)
