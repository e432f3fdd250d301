"""How large this host is for jobs, and whether its disks have room left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from knify import units

_HEADROOM: Final = 512 * 1024**2  # bytes at least for the system and Knify's own processes


def machine() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory() -> int:
    """Bytes for jobs: what the machine has, less 10 % or 512 MiB, at most half of it."""
    there = machine()
    return there - min(there // 2, max(there // 10, _HEADROOM))


def disk(place: Path) -> int:
    """Bytes of the file system that holds this folder."""
    return shutil.disk_usage(place).total


def low_disk(places: Iterable[Path], reserve: int, node: str) -> str | None:
    """The reason why this node should take nothing new; None while all have the reserve free.

    For a folder that is not made yet, the one counts that it will be made in.
    """
    for place in places:
        try:
            there = next(folder for folder in (place, *place.parents) if folder.exists())
            free = shutil.disk_usage(there).free
        except OSError as failed:
            return f"low disk on {node}: its free space is not known ({failed.strerror})"
        if free < reserve:
            has, needs = units.show_size(free), units.show_size(reserve)
            return f"low disk on {node}: {has} free, {needs} reserved"
    return None
