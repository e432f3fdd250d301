"""Whether Podman has locks left: one for each container and each volume."""

from __future__ import annotations

from typing import Final

from knify.host import podman, survey
from knify.host.check import Check

_LOCKS: Final = 2_048  # what Podman's lock file usually holds


def check_locks(host: survey.Host) -> Check:
    """Podman's locks can run out while disk and memory are free: paused sandboxes hold some."""
    containers = len(podman.call("ps", "--all", "--quiet").out.split())
    volumes = len(podman.call("volume", "ls", "--quiet").out.split())
    used = containers + volumes
    message = f"{used:,} of Podman's usual {_LOCKS:,} locks are used by containers and volumes"
    if used < 0.8 * _LOCKS:
        return Check("locks", "ok", message)
    cure = "clean up sandboxes, or raise num_locks and run `podman system renumber`"
    return Check("locks", "warning", message, cure)
