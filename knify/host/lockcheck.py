"""Whether Podman has locks left: one for each container and each volume."""

from __future__ import annotations

from typing import Final

from knify.host import podman, service, survey
from knify.host.check import Check

_LOCKS: Final = 2_048  # what Podman's lock file usually holds


def check_locks(host: survey.Host) -> Check:
    """Podman's locks can run out while disk and memory are free: paused sandboxes hold some."""
    used = service.locks(host.service) if host.service else _used()
    message = f"{used:,} of Podman's usual {_LOCKS:,} locks are used by containers and volumes"
    if used < 0.8 * _LOCKS:
        return Check("locks", "ok", message)
    cure = "clean up sandboxes, or raise num_locks and run `podman system renumber`"
    return Check("locks", "warning", message, cure)


def _used() -> int:
    listings = (("ps", "--all", "--quiet"), ("volume", "ls", "--quiet"))
    return sum(len(podman.call(*listing).out.split()) for listing in listings)
