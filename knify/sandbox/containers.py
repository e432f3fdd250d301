"""Looking at, ending and removing this installation's containers, whatever Podman believes.

Podman hears of a container's end from its conmon alone. When that was killed, Podman 4 says
`running` for ever, neither stops nor starts it, and removes it at the second attempt only.

A Podman that is killed while it makes or removes one leaves half of it: a name in its storage
without a container, or a container without storage. Neither can be looked at, both can be deleted
by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from knify import errors
from knify.sandbox import api, base, hostfs, inventory, template, views

SLOW = 60.0  # seconds for calls that create, start, stop or remove
_CLEANUP = 5.0  # seconds within which Podman has cleaned up after a stop
#: How Podman answers when a part of the container is gone: its storage's record, its layer, the
#: layer's folder.
_HALF_REMOVED = ("container not known", "layer not known", "getting graph driver info")
_LEFT = 1.0  # seconds until what the supervisor killed is gone


class Containers:
    """See the module's first lines."""

    def __init__(self, podman: api.Api, installation: str) -> None:
        """Nothing is asked yet."""
        self._api = podman
        self._installation = installation

    async def look(self, container: str) -> dict[str, Any]:
        """Podman's inspect answer; SandboxGone when there is none, or half of one."""
        try:
            return dict(await self._api.call("GET", f"/containers/{api.part(container)}/json"))
        except errors.SandboxError as failed:
            if any(words in failed.message for words in _HALF_REMOVED):
                raise errors.SandboxGone(failed.message) from failed
            raise

    async def pid(self, container: str) -> int:
        """Of its init."""
        return int((await self.look(container))["State"]["Pid"])

    async def make(self, request: base.SandboxRequest, body: dict[str, Any]) -> dict[str, Any]:
        """A container with the create call's body, or the one made before; ImageMissing."""
        try:
            return await self._create(body)
        except errors.SandboxTimeout:
            raise
        except errors.SandboxError as failed:
            if "image not known" in failed.message:
                raise errors.ImageMissing(f"no image {request.image} on this node") from failed
            found = await self.ours(request.sandbox_id)  # its name may be taken: made before
            if found is not None:
                return found
            if "already in use" not in failed.message:
                raise
        await self._delete(template.container_name(request.sandbox_id))
        return await self._create(body)

    async def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        made = await self._api.call("POST", "/containers/create", body=body, timeout=SLOW)
        return await self.look(made["Id"])

    async def ours(self, sandbox_id: str) -> dict[str, Any] | None:
        """The sandbox's container; SandboxError when one of that name is not ours."""
        try:
            seen = await self.look(template.container_name(sandbox_id))
        except errors.SandboxGone:
            return None
        marks = seen["Config"].get("Labels") or {}
        if (marks.get(inventory.MARK), marks.get("knify.sandbox")) != (
            self._installation,
            sandbox_id,
        ):
            raise errors.SandboxError("a foreign container has this sandbox's name")
        return seen

    async def stuck(self, seen: dict[str, Any]) -> bool:
        """Whether Podman takes it to run, and will never hear of its end."""
        if not views.said_to_run(seen) or views.watched(seen):
            return False
        # conmon reports the end before its own: so what Podman says now is final.
        again = await self.look(seen["Id"])
        return views.said_to_run(again) and not views.watched(again)

    async def settled(self, container: str) -> dict[str, Any]:
        """A look once Podman has heard that a killed container has ended; SandboxGone: stuck."""
        deadline = time.monotonic() + _CLEANUP
        while views.said_to_run(seen := await self.look(container)):
            if await self.stuck(seen) or time.monotonic() > deadline:
                raise errors.SandboxGone("Podman has lost track of the container")
            if views.runs(seen):
                break
            await asyncio.sleep(0.01)
        return seen

    async def stop(self, container: str, grace: float) -> None:
        """See `base.Driver.stop`; SandboxGone when there is none."""
        seen = await self.look(container)
        if not views.runs(seen):
            return
        graceful = grace and views.watched(seen) and not views.frozen(seen)
        if not graceful and await self._killed(seen):
            return
        query = {"timeout": int(grace), "ignore": "true"}
        path = f"/containers/{api.part(container)}/stop"
        await self._api.call("POST", path, query=query, timeout=SLOW + grace)

    async def remove(self, sandbox_id: str) -> None:
        """Kill and remove the container, not its volumes; gone before, nothing happens."""
        seen = await self.ours(sandbox_id)
        if seen is None:
            await self._delete(template.container_name(sandbox_id))
            return
        if views.runs(seen) and (views.frozen(seen) or not views.watched(seen)):
            await self._killed(seen)
        await self._delete(seen["Id"])

    async def _delete(self, container: str) -> None:
        """Until Podman has none, nor what a Podman that was killed over it left behind."""
        path, query = f"/containers/{container}", {"force": "true", "timeout": 0}
        deadline = time.monotonic() + _CLEANUP
        while True:
            try:
                await self._api.call("DELETE", path, query=query, timeout=SLOW)
            except errors.SandboxGone:
                return
            except errors.SandboxTimeout:
                raise
            except errors.SandboxError:  # stuck, or Podman's own clean-up holds it for a moment
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def freeze(self, container: str) -> None:
        """See `base.Driver.freeze`."""
        seen = await self.look(container)
        if views.frozen(seen) and views.runs(seen):
            return
        if not views.runs(seen) or await self.stuck(seen):
            raise errors.SandboxGone("the sandbox does not run")
        deadline = time.monotonic() + _LEFT
        while hostfs.crowded(seen["State"]["Pid"]):
            if time.monotonic() > deadline:
                raise errors.SandboxError("processes of the job are left in the sandbox")
            await asyncio.sleep(0.01)
        # Writing to the cgroup's freezer takes 0.2 ms instead of 7, but then Podman does not
        # know, and fails to stop or to remove the container.
        await self._api.call("POST", f"/containers/{seen['Id']}/pause", timeout=SLOW)

    async def thaw(self, seen: dict[str, Any]) -> None:
        """Let it run again."""
        try:
            await self._api.call("POST", f"/containers/{seen['Id']}/unpause", timeout=SLOW)
        except errors.SandboxGone:
            raise
        except errors.SandboxError:
            if views.frozen(await self.look(seen["Id"])):  # else another was faster
                raise

    async def _killed(self, seen: dict[str, Any]) -> bool:
        """End all of its processes at once; False when that is left to Podman.

        Podman's own stop kills too, but looks for the end every 100 ms only. With the init all
        processes of its namespace die; conmon sees to Podman's record and clean-up behind us.
        Without a conmon, a container that Podman takes to be frozen could never be removed.
        """
        if views.frozen(seen):
            with contextlib.suppress(errors.SandboxError):
                await self.thaw(seen)
        return await asyncio.to_thread(hostfs.kill, seen["State"]["Pid"], seen["Id"])
