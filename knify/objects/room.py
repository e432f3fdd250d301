"""Whether there is room on a disk, before and while something large is written to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from knify import errors, units

_EVERY: Final = 64 * 1024**2  # bytes between two looks


def free(folder: Path) -> int:
    """Bytes that may still be written on its file system."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def require(folders: Iterable[Path], size: int, reserve: int) -> None:
    """StorageFull unless `size` more bytes leave `reserve` free in each of the folders."""
    for folder in folders:
        if free(folder) < size + reserve:
            raise errors.StorageFull(
                f"the server's disk has no room for {units.show_size(size)} more: delete "
                "workspaces, or ask its operator (KNIFY_DISK_RESERVE)"
            )


def watched(pieces: Iterator[bytes], folders: Iterable[Path], reserve: int) -> Iterator[bytes]:
    """The same pieces; StorageFull as soon as writing them has taken the disk's reserve."""
    places = tuple(folders)
    since = _EVERY
    for piece in pieces:
        if since >= _EVERY:
            require(places, 0, reserve)
            since = 0
        since += len(piece)
        yield piece
