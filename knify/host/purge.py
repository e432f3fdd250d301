"""Removing all that one installation made in Podman, and nothing else."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from knify import errors
from knify.host import podman

_SECONDS = 300
_ATTEMPTS = 10
_PAUSE = 0.5
_LABEL = "knify.installation"
_LISTS = (("ps", "--all"), ("volume", "ls"))  # of containers, of volumes
_PROC = Path("/proc")
_WORKER = (b"workers.main", b"worker")  # in its command line


def found(conf: Path | None = None) -> dict[str, tuple[int, int]]:
    """How many containers and volumes are here, by the installation that they belong to."""
    containers, volumes = (Counter(_owners(listing, conf)) for listing in _LISTS)
    return {name: (containers[name], volumes[name]) for name in sorted({*containers, *volumes})}


def workers(installation: str, proc: Path = _PROC) -> list[int]:
    """Living workers of an installation on this host, by their pids; in containers, too.

    Root's processes alone are looked at: what runs in a sandbox is never one.
    """
    return [pid for pid, home in _workers(proc) if installation in _of(home)]


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


def _workers(proc: Path) -> Iterator[tuple[int, Path]]:
    """Each with its home, as it is reached from here."""
    for folder in proc.glob("[0-9]*"):
        try:
            if folder.stat().st_uid != 0:
                continue
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if not set(_WORKER) <= set(words):
                continue
            lines = (folder / "environ").read_bytes().split(b"\0")
            home = _home({name: value for name, _, value in (x.partition(b"=") for x in lines)})
            yield int(folder.name), Path(f"{folder}/root{home}")
        except OSError:  # it ended
            continue


def _home(environ: dict[bytes, bytes]) -> str:
    own = os.fsdecode(environ.get(b"HOME", b"/root"))
    return os.fsdecode(environ.get(b"KNIFY_HOME", b"")) or f"{own}/.knify"


def _of(home: Path) -> set[str]:
    """What a worker's home belongs to: by its marker, or the mark of its health (`healthy.py`)."""
    marks = [home / "installation", *home.glob("worker-*.alive")]
    return {mark.read_text().strip() for mark in marks if mark.is_file()} - {""}
