"""Knify's own processes on this host, those in containers among them, as /proc shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Living:
    """One of them."""

    pid: int
    uid: int
    home: str  # its KNIFY_HOME, as it sees it itself
    root: Path  # where its own `/` is reached from here


def living(*words: str, proc: Path = PROC) -> Iterator[Living]:
    """Those whose command line has all these words; what may not be looked at is left out."""
    wanted = {word.encode() for word in words}
    for folder in proc.glob("[0-9]*"):
        try:
            if wanted <= set((folder / "cmdline").read_bytes().split(b"\0")):
                lines = (folder / "environ").read_bytes().split(b"\0")
                home = _home({name: value for name, _, value in (x.partition(b"=") for x in lines)})
                yield Living(int(folder.name), folder.stat().st_uid, home, folder / "root")
        except OSError:  # it ended, or is somebody else's
            continue


def _home(environ: dict[bytes, bytes]) -> str:
    own = os.fsdecode(environ.get(b"HOME", b"/root"))
    return os.fsdecode(environ.get(b"KNIFY_HOME", b"")) or f"{own}/.knify"
