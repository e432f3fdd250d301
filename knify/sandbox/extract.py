"""Making a sandbox's files out of a tar by `archive.pack`, below directory descriptors only.

The tar was sealed by us, and yet each member must follow the folder that it stands in, so nothing
is ever written through a link or outside.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

from knify import errors
from knify.sandbox import archive

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Readable(Protocol):
    """Where the tar comes from."""

    def read(self, size: int, /) -> bytes:
        """Some bytes, at least one; none at the end."""


@dataclass(slots=True)
class _Folder:
    """An open folder; its mode and time are set when all of its members are there."""

    path: str
    handle: int
    entry: tarfile.TarInfo

    def close(self) -> None:
        os.close(self.handle)

    def finish(self) -> None:
        os.fchmod(self.handle, self.entry.mode & archive.MODE)
        _stamp(self.handle, self.entry)
        self.close()


class _Tail(io.RawIOBase):
    """Passes the tar on and knows how it ended."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.last = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.last = (self.last + data)[-2 * tarfile.BLOCKSIZE :]
        return data


def unpack(source: Readable, roots: Mapping[str, Path]) -> None:
    """Fill the empty folders; BadRequest for a tar that is torn or not of our making.

    All becomes this process's own. After a failure the folders hold anything.
    """
    tail = _Tail(source)
    stack: list[_Folder] = []
    try:
        with tarfile.open(
            None,
            mode="r|",
            fileobj=tail,
            bufsize=archive.BLOCK,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            while (entry := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else it remembers all of them
                _take(tar, entry, roots, stack)
            while tail.read(archive.BLOCK):
                pass
        if tail.last.strip(b"\0") or len(tail.last) < 2 * tarfile.BLOCKSIZE:
            raise errors.BadRequest("the archive is torn")
        while stack:
            stack.pop().finish()
    except (tarfile.TarError, ValueError, InvalidOperation, OverflowError) as failed:
        raise errors.BadRequest(f"not an archive of a sandbox: {failed}") from failed
    except OSError as failed:
        if isinstance(failed, FileExistsError):
            raise errors.BadRequest("the archive names a file twice") from failed
        raise errors.SandboxError(f"the files cannot be written: {failed.strerror}") from failed
    finally:
        for folder in stack:
            folder.close()


def _take(
    tar: tarfile.TarFile, entry: tarfile.TarInfo, roots: Mapping[str, Path], stack: list[_Folder]
) -> None:
    parent, name = _split(entry.name)
    if not parent:
        _root(entry, roots, stack)
        return
    while stack and stack[-1].path != parent:
        stack.pop().finish()
    if not stack:
        raise errors.BadRequest("the archive has a member without its folder")
    here = stack[-1].handle
    if entry.isdir():
        os.mkdir(name, 0o700, dir_fd=here)
        stack.append(_Folder(entry.name, os.open(name, archive.FOLDER, dir_fd=here), entry))
    elif entry.islnk():
        _link(entry, name, here, stack[0])
    elif entry.issym():
        os.symlink(entry.linkname, name, dir_fd=here)
        os.utime(name, ns=_times(entry), dir_fd=here, follow_symlinks=False)
    elif entry.isreg():
        _file(tar, entry, os.open(name, _NEW, 0o600, dir_fd=here))
    else:
        raise errors.BadRequest("the archive holds what is neither file, folder nor link")


def _split(path: str) -> tuple[str, str]:
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise errors.BadRequest("the archive holds an unsafe name")
    return "/".join(parts[:-1]), parts[-1]


def _root(entry: tarfile.TarInfo, roots: Mapping[str, Path], stack: list[_Folder]) -> None:
    while stack:
        stack.pop().finish()
    if entry.name not in roots or not entry.isdir():
        raise errors.BadRequest("the archive holds an unknown tree")
    stack.append(_Folder(entry.name, os.open(roots[entry.name], archive.FOLDER), entry))


def _link(entry: tarfile.TarInfo, name: str, here: int, root: _Folder) -> None:
    """A second name for a file that came before; no part of the way to it may be a link."""
    parent, target = _split(entry.linkname)
    first, *rest = parent.split("/")
    if first != root.path:
        raise errors.BadRequest("the archive links out of its tree")
    handle = os.dup(root.handle)
    try:
        for part in rest:
            below = os.open(part, archive.FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
        os.link(target, name, src_dir_fd=handle, dst_dir_fd=here, follow_symlinks=False)
    finally:
        os.close(handle)


def _file(tar: tarfile.TarFile, entry: tarfile.TarInfo, file: int) -> None:
    read: Callable[[int], bytes] = tar.fileobj.read
    pieces = getattr(entry, "sparse", None) or [(0, entry.size)]
    try:
        for start, length in pieces:
            at, end = start, start + length
            while at < end:
                data = memoryview(read(min(end - at, archive.BLOCK)))
                if not data:
                    raise errors.BadRequest("the archive is torn")
                while data:
                    written = os.pwrite(file, data, at)
                    at, data = at + written, data[written:]
        os.ftruncate(file, entry.size)
        os.fchmod(file, entry.mode & archive.MODE)
        _stamp(file, entry)
    finally:
        os.close(file)


def _stamp(handle: int, entry: tarfile.TarInfo) -> None:
    os.utime(handle, ns=_times(entry))


def _times(entry: tarfile.TarInfo) -> tuple[int, int]:
    stamp = int(Decimal(entry.pax_headers["mtime"]) * 10**9)
    return stamp, stamp
