"""Removing all that one installation made in Podman, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

from knify import errors
from knify.host import podman

_SECONDS = 300
_ATTEMPTS = 10
_PAUSE = 0.5


def purge(installation: str, conf: Path | None = None) -> tuple[int, int]:
    """Remove its containers and volumes; how many of each. SandboxError when some stay."""
    mine = ("--quiet", "--filter", f"label=knify.installation={installation}")
    containers = _remove(("ps", "--all", *mine), ("rm", "--force", "--time", "0"), conf)
    volumes = _remove(("volume", "ls", *mine), ("volume", "rm", "--force"), conf)
    return containers, volumes


def _remove(listing: tuple[str, ...], removal: tuple[str, ...], conf: Path | None) -> int:
    """Remove what is listed, again if need be: Podman's belated clean-up of a stop may race."""
    first = _names(listing, conf)
    left, answer = first, podman.Answer(0, "", "")
    for _ in range(_ATTEMPTS):
        if not left:
            return len(first)
        answer = podman.call(*removal, *left, conf=conf, timeout=_SECONDS)
        left = _names(listing, conf)
        if left:
            time.sleep(_PAUSE)
    raise errors.SandboxError(f"podman: {answer.reason}")


def _names(listing: tuple[str, ...], conf: Path | None) -> list[str]:
    answer = podman.call(*listing, conf=conf)
    if not answer.ok:
        raise errors.SandboxError(f"podman: {answer.reason}")
    return answer.out.split()
