"""Removing all that one installation made in Podman, and nothing else."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from pathlib import Path

from knify import errors
from knify.host import parts, podman

_SECONDS = 300
_ATTEMPTS = 10
_PAUSE = 0.5
_LABEL = "knify.installation"
_LISTS = (("ps", "--all"), ("volume", "ls"))  # of containers, of volumes


def found(conf: Path | None = None) -> dict[str, tuple[int, int]]:
    """How many containers and volumes are here, by the installation that they belong to."""
    containers, volumes = (Counter(_owners(listing, conf)) for listing in _LISTS)
    return {name: (containers[name], volumes[name]) for name in sorted({*containers, *volumes})}


def workers(installation: str, proc: Path = parts.PROC) -> list[int]:
    """Living workers of an installation on this host, by their pids; in containers, too.

    Root's processes alone are looked at: what runs in a sandbox is never one.
    """
    own = (one for one in parts.living("workers.main", "worker", proc=proc) if one.uid == 0)
    return [one.pid for one in own if installation in _of(Path(f"{one.root}{one.home}"))]


def purge(installation: str, conf: Path | None = None) -> tuple[int, int]:
    """Remove its containers and volumes; how many of each. SandboxError when some stay."""
    mine = ("--quiet", "--filter", f"label={_LABEL}={installation}")
    containers = _remove((*_LISTS[0], *mine), ("rm", "--force", "--time", "0"), conf)
    volumes = _remove((*_LISTS[1], *mine), ("volume", "rm", "--force"), conf)
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
    return _listed(listing, conf).split()


def _listed(listing: tuple[str, ...], conf: Path | None) -> str:
    answer = podman.call(*listing, conf=conf)
    if not answer.ok:
        raise errors.SandboxError(f"podman: {answer.reason}")
    return answer.out


def _owners(listing: tuple[str, ...], conf: Path | None) -> list[str]:
    shown = _listed((*listing, "--filter", f"label={_LABEL}", "--format", "json"), conf)
    return [row["Labels"][_LABEL] for row in json.loads(shown or "[]") or []]


def _of(home: Path) -> set[str]:
    """What a worker's home belongs to: by its marker, or the mark of its health (`healthy.py`)."""
    found = set()
    for mark in (home / "installation", *home.glob("worker-*.alive")):
        with contextlib.suppress(OSError):  # there is none, or it goes this moment
            found.add(mark.read_text().strip())
    return found - {""}
