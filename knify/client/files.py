"""Files from the server onto this disk: never outside the folder, never damaged, never half."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from knify.client import errors


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


def save(chunks: Iterable[bytes], path: str, file: Path, promised: str | None) -> Downloaded:
    """Write beside the target and move it there only when it is whole. ArtifactDamaged."""
    digest, size = hashlib.sha256(), 0
    handle, name = tempfile.mkstemp(prefix=".knify-", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            for chunk in chunks:
                digest.update(chunk)
                size += out.write(chunk)
        _check(path, digest.hexdigest(), promised)
        Path(name).chmod(0o644)
        Path(name).replace(file)  # replaces a link, never follows it
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Downloaded(path, file, size, digest.hexdigest(), promised is not None)


def _check(path: str, found: str, promised: str | None) -> None:
    if promised is not None and found != promised:
        raise errors.ArtifactDamaged(f"{path!r} came damaged: SHA-256 {found} is not {promised}")
