"""The images of a node."""

from __future__ import annotations

import asyncio
from pathlib import Path

from knify import errors
from knify.sandbox import api, base, hostfs, views

Version = tuple[int, int, int]  # inode, size, time of the last change in ns


class ImageStore:
    """Asks Podman for images; lists them anew only when its own record of them has changed.

    Podman adds up all layers' sizes for a list: 60 ms of CPU for a handful of images.
    """

    def __init__(self, podman: api.Api) -> None:
        """Nothing is asked yet."""
        self._api = podman
        self._record: Path | None = None
        self._version: Version | None = None
        self._listed: list[base.ImageInfo] = []

    async def find(self, name: str) -> base.ImageInfo | None:
        """The image, if this node has it."""
        try:
            seen = await self._api.call("GET", f"/images/{api.part(name)}/json")
        except errors.SandboxGone:
            return None
        return views.image(name, seen)

    async def all(self) -> list[base.ImageInfo]:
        """All named images."""
        version = await self._current()  # before the list: what changes meanwhile is seen later
        if version is None or version != self._version:
            rows = await self._api.call("GET", "/images/json")
            names = [name for row in rows or [] for name in row.get("RepoTags") or []]
            found = await asyncio.gather(*(self.find(name) for name in names))
            self._listed = [info for info in found if info is not None]
            self._version = version
        return list(self._listed)

    async def _current(self) -> Version | None:
        """The version of Podman's record, which it replaces at each change; None: unknown."""
        try:
            if self._record is None:
                self._record = await self._find_record()
            seen = await asyncio.to_thread(self._record.stat)
        except (errors.SandboxError, OSError, KeyError, TypeError):
            return None
        return seen.st_ino, seen.st_size, seen.st_mtime_ns

    async def _find_record(self) -> Path:
        store = (await self._api.call("GET", "/info"))["store"]
        return hostfs.visible(f"{store['graphRoot']}/{store['graphDriverName']}-images/images.json")
