"""The file of a backup: a tar whose last member holds the SHA-256 of all others.

Members in this order: `backup.json` (what it is), `keys/…`, `redis.jsonl.zst`, `objects/…`,
`SHA256SUMS`. All of it is written and read in one pass, nothing is held whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from knify import errors

FORMAT: Final = 1
HEAD, RECORDS, SUMS = "backup.json", "redis.jsonl.zst", "SHA256SUMS"
KEYS, OBJECTS = "keys/", "objects/"
_SMALL: Final = 1024**2  # of a member that is read whole
_CHUNK: Final = 1024**2


class _Hashed:
    """What is read through it is hashed."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self._source.read(size)
        self._hash.update(piece)
        return piece

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Writer:
    """Adds members to an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._sums: list[str] = []

    def add(self, name: str, source: Any, size: int) -> None:
        """Exactly `size` bytes of a thing with `read`. OSError when there are fewer."""
        hashed = _Hashed(source)
        self._member(name, hashed, size)
        self._sums.append(f"{hashed.sha256}  {name}\n")

    def add_bytes(self, name: str, data: bytes) -> None:
        """A small member."""
        self.add(name, io.BytesIO(data), len(data))

    def close(self) -> None:
        """The checksums, and the end."""
        data = "".join(self._sums).encode()
        self._member(SUMS, io.BytesIO(data), len(data))
        self._tar.close()

    def _member(self, name: str, source: Any, size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        self._tar.addfile(info, source)


def members(path: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """Name, content and size of each, in their order. ConfigError when it is no whole backup."""
    try:
        with tarfile.open(path, mode="r|") as tar:
            for info in tar:
                content = tar.extractfile(info) if info.isreg() else None
                if content is None or ".." in info.name.split("/") or info.name.startswith("/"):
                    raise errors.ConfigError(f"{path} holds {info.name[:100]!a}: it is no backup")
                yield info.name, content, info.size
                tar.members = []  # type: ignore[attr-defined]  # else it remembers all of them
    except (tarfile.TarError, EOFError) as failed:
        raise errors.ConfigError(f"{path} is damaged or no backup: {failed}") from failed
    except OSError as failed:
        raise errors.ConfigError(f"{path} cannot be read: {failed}") from failed


def verify(path: Path) -> dict[str, Any]:
    """What the backup says of itself, once all was held against its checksums. ConfigError."""
    head: dict[str, Any] = {}
    seen = hashlib.sha256()
    said = ""
    for name, content, size in members(path):
        if name == SUMS:
            said = hashlib.sha256(content.read()).hexdigest()
            continue
        hashed = _Hashed(content)
        if name == HEAD:
            head = _head(path, hashed.read(min(size, _SMALL)))
        while hashed.read(_CHUNK):
            pass
        seen.update(f"{hashed.sha256}  {name}\n".encode())
    if not head:
        raise errors.ConfigError(f"{path} is no backup of Knify's")
    if said != seen.hexdigest():
        raise errors.ConfigError(f"{path} is damaged: its checksums do not fit its content")
    return head


def _head(path: Path, data: bytes) -> dict[str, Any]:
    try:
        head: dict[str, Any] = json.loads(data)
        form = int(head["format"])
    except (ValueError, KeyError, TypeError) as failed:
        raise errors.ConfigError(f"{path} is no backup of Knify's") from failed
    if form > FORMAT:
        raise errors.ConfigError(f"{path} was made by a newer Knify: upgrade first")
    return head
