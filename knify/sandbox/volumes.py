"""The two volumes of a sandbox: made with our labels, and given to the agent."""

from __future__ import annotations

import functools
from typing import Any

from knify import errors
from knify.sandbox import api, base, hostfs, inventory, template, views

_SECONDS = 60.0


async def make(client: api.Api, installation: str, name: str, marks: dict[str, str]) -> str:
    """A labelled volume, made unless it is there; its folder on the host."""
    # With ids given, Podman leaves the folder's owner alone; else it would follow the image.
    body = {"Name": name, "Labels": marks, "Options": {"o": "uid=0,gid=0"}}
    try:
        seen = await client.call("POST", "/volumes/create", body=body, timeout=_SECONDS)
    except errors.SandboxGone:
        raise
    except errors.SandboxError:
        seen = await client.call("GET", f"/volumes/{name}/json")
        if (seen.get("Labels") or {}).get(inventory.MARK) != installation:
            raise errors.SandboxError(f"a foreign volume is called {name}") from None
    return str(seen["Mountpoint"])


def furnish(seen: dict[str, Any]) -> None:
    """Give a fresh container's folders to the agent, as its user namespace numbers it."""
    if seen["State"]["Status"] not in ("created", "configured"):
        return
    maps = seen["HostConfig"].get("IDMappings") or {}
    uid = functools.partial(hostfs.mapped, maps.get("UidMap"))
    gid = functools.partial(hostfs.mapped, maps.get("GidMap"))
    for dest in (base.WORKSPACE, base.HOME):
        folder = hostfs.visible(views.mountpoint(seen, dest))
        hostfs.own(folder, uid(template.UID), gid(template.UID), 0o755)
    upper = (seen.get("GraphDriver") or {}).get("Data", {}).get("UpperDir")
    if upper:
        hostfs.mountpoints(hostfs.visible(upper), list(template.TMPFS), (uid(0), gid(0)))
