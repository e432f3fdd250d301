"""The ways to a container's supervisor: Podman's attach stream, its pipe of orders, its log."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import Any

from knify.sandbox import api, containers, hostfs


async def attach(podman: api.Api, container: str) -> api.Hijacked:
    """Podman's own stream: orders go in, output comes out."""
    query = {"stream": "true", "stdin": "true", "stdout": "true", "stderr": "true"}
    path = f"/containers/{api.part(container)}/attach"
    return await podman.hijack(path, query | {"logs": "false"}, containers.SLOW)


async def rejoin(podman: api.Api, seen: dict[str, Any]) -> api.Hijacked:
    """The same of a container that runs (as Podman shows it), orders through the pipe."""
    commands = await api.to_pipe(hostfs.orders(seen["State"]["Pid"]))
    commands.write(b"\n")  # ends a line that the last owner may have left unfinished
    try:
        return dataclasses.replace(await attach(podman, seen["Id"]), commands=commands)
    except BaseException:
        commands.close()
        raise


def log(seen: dict[str, Any]) -> Path:
    """Where this process sees what conmon has written down."""
    path = Path(seen["HostConfig"]["LogConfig"]["Path"])
    return hostfs.visible(str(path.parent)) / path.name


async def forget(written: Path) -> None:
    """The earlier turns' output is dropped; conmon appends, so it goes on at the new end."""
    if written.is_file():
        await asyncio.to_thread(os.truncate, written, 0)
