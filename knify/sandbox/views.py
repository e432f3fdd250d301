"""Podman's answers as values of the port."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from knify import errors
from knify.sandbox import base, hostfs


def runs(seen: dict[str, Any]) -> bool:
    """Whether the container's init lives, whatever Podman says."""
    pid = seen["State"].get("Pid") or 0
    return pid > 0 and hostfs.alive(pid, seen["Id"])


def said_to_run(seen: dict[str, Any]) -> bool:
    """Whether Podman says that it runs, which it may do long after its end."""
    return seen["State"]["Status"] in ("running", "stopping", "paused")


def frozen(seen: dict[str, Any]) -> bool:
    """Whether Podman has frozen it."""
    return bool(seen["State"]["Status"] == "paused")


def watched(seen: dict[str, Any]) -> bool:
    """Whether the container's own conmon lives, which tells Podman of the end."""
    return hostfs.is_conmon(seen["State"].get("ConmonPid") or -1, seen["Id"])


def status(seen: dict[str, Any], stuck: bool = False) -> base.ContainerStatus:
    """A container's inspect answer as a value."""
    state, marks = seen["State"], seen["Config"].get("Labels") or {}
    running = runs(seen)
    return base.ContainerStatus(
        id=seen["Id"],
        sandbox_id=marks.get("knify.sandbox", ""),
        running=running,
        pid=state["Pid"] if running else None,
        exit_code=state["ExitCode"] if state["Status"] in ("exited", "stopped") else None,
        oom_killed=bool(state.get("OOMKilled")),
        oom_kills=hostfs.oom_kills(state["Pid"]) if running else None,
        labels=dict(marks),
        image=seen["Image"],
        digest=seen.get("ImageDigest") or "",
        frozen=running and frozen(seen),
        stuck=stuck,
    )


def mountpoint(seen: dict[str, Any], dest: str) -> str:
    """Where the host keeps the volume that stands at `dest`."""
    for mount in seen["Mounts"]:
        if mount["Destination"] == dest:
            return str(mount["Source"])
    raise errors.SandboxError(f"the container has no volume at {dest}")


def listed_container(row: dict[str, Any]) -> base.Listed:
    """A row of the list of containers."""
    created = datetime.fromisoformat(row["Created"].replace("Z", "+00:00"))
    return base.Listed(
        kind="container",
        name=row["Names"][0],
        sandbox_id=row["Labels"].get("knify.sandbox", ""),
        created_at=int(created.timestamp() * 1000),
        running=row["State"] == "running",
    )


def listed_volume(row: dict[str, Any]) -> base.Listed:
    """A row of the list of volumes."""
    created = datetime.fromisoformat(row["CreatedAt"].replace("Z", "+00:00"))
    return base.Listed(
        kind="volume",
        name=row["Name"],
        sandbox_id=(row.get("Labels") or {}).get("knify.sandbox", ""),
        created_at=int(created.timestamp() * 1000),
    )


def image(name: str, seen: dict[str, Any]) -> base.ImageInfo:
    """An image's inspect answer as a value."""
    config = seen.get("Config") or {}
    return base.ImageInfo(
        name=name,
        id=seen["Id"],
        digest=seen.get("Digest") or "",
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        env=dict(line.split("=", 1) for line in config.get("Env") or () if "=" in line),
        size=seen.get("Size") or 0,
    )
