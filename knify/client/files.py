"""Files from the server onto this disk: never outside the folder, never damaged, never half."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx

from knify.client import answers, errors

#: Hears how many bytes have gone, and of how many where that is known.
Progress: TypeAlias = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that was fetched."""

    path: str  # its name on the server
    file: Path  # where it is now
    size: int  # bytes
    sha256: str
    verified: bool  # the server promised this checksum; False: it promised none


def target(folder: Path, path: str) -> Path:
    """Where a file of this name belongs, its parents made. UnsafePath for hostile names.

    The job chose the name, so neither its words nor a link in the folder may lead out.
    """
    words = path.split("/")
    if not path or "\0" in path or any(word in ("", ".", "..") for word in words):
        raise errors.UnsafePath(f"an artifact's path leads out of the target folder: {path!r}")
    root = folder.resolve()
    parent = root.joinpath(*words[:-1])
    if not parent.resolve().is_relative_to(root):
        raise errors.UnsafePath(f"a link in {folder} leads {path!r} out of it")
    parent.mkdir(parents=True, exist_ok=True)
    if (parent / words[-1]).is_dir():
        raise errors.UnsafePath(f"{parent / words[-1]} is a folder already")
    return parent / words[-1]


class Sink:
    """A body on its way to a file: beside the target until it is whole. See `steps.Sink`."""

    def __init__(
        self, response: httpx.Response, path: str, file: Path, progress: Progress | None = None
    ) -> None:
        """`path` is its name on the server; `progress` hears how many bytes are there, of how many.

        The headers of the response say how long it is and which checksum it has.
        """
        self._path, self._file, self._progress = path, file, progress
        self._promised = answers.checksum(response)
        self._length = answers.length(response)
        self._digest, self._size = hashlib.sha256(), 0
        handle, self._name = tempfile.mkstemp(prefix=".knify-", dir=file.parent)
        self._out = os.fdopen(handle, "wb")

    def write(self, chunk: bytes) -> None:
        """Take a chunk."""
        self._digest.update(chunk)
        self._size += self._out.write(chunk)
        if self._progress is not None:
            self._progress(self._size, self._length)

    def finish(self) -> Downloaded:
        """Move it to its place. Raises ArtifactDamaged."""
        self._out.close()
        found = self._digest.hexdigest()
        _check(self._path, found, self._promised)
        Path(self._name).chmod(0o644)
        Path(self._name).replace(self._file)  # replaces a link, never follows it
        known = self._promised is not None
        return Downloaded(self._path, self._file, self._size, found, known)

    def drop(self) -> None:
        """Leave nothing of what is not whole."""
        self._out.close()
        Path(self._name).unlink(missing_ok=True)


def _check(path: str, found: str, promised: str | None) -> None:
    if promised is not None and found != promised:
        raise errors.ArtifactDamaged(f"{path!r} came damaged: SHA-256 {found} is not {promised}")
