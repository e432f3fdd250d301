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
    look = Look(folders, reserve)
    for piece in pieces:
        look.before(len(piece))
        yield piece


class Look:
    """Looks at the folders' room now and then while something is written."""

    def __init__(self, folders: Iterable[Path], reserve: int) -> None:
        self._places = tuple(folders)
        self._reserve = reserve
        self._since = _EVERY

    def before(self, size: int) -> None:
        """So many bytes are about to be written. StorageFull when the reserve is used up."""
        if self._since >= _EVERY:
            require(self._places, 0, self._reserve)
            self._since = 0
        self._since += size
