"""A sandbox's files as one tar, and back: streamed, below directory descriptors only.

The tree is hostile: nothing in it is reached through a link, and only folders, regular files
and symlinks are taken. Format: pax, with times in ns and GNU's sparse map 0.1 for holes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from knify import errors

BLOCK = 1024**2
MODE = 0o1777  # set-id bits are not kept
OWNER = 1000  # of every member: the agent, as numbered inside
_DEEPEST = 256
_MOST_PIECES = 65_536  # of a sparse file; the rest is one piece, with its holes
_MOST_SPARSE = 8 * 1024**3  # bytes; a ustar header has room for no larger size
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ZEROS = bytes(128 * 1024)
_LINKS = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Node:
    """One member of a tree; `handle` is of the folder that it stands in, or of itself if `.`."""

    path: str
    name: str
    handle: int
    seen: os.stat_result
    twin: str | None = None  # the path that this inode came by before

    def open(self) -> int:
        """A descriptor of the regular file."""
        file = os.open(self.name, _FILE, dir_fd=self.handle)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise errors.SandboxError("a file of the sandbox changed while it was read")
        return file


def nodes(roots: Mapping[str, Path]) -> Iterator[Node]:
    """All members of the trees, folders before what is in them, names in the order of bytes."""
    for prefix, root in roots.items():
        links: dict[_LINKS, str] = {}
        handle = os.open(root, FOLDER)
        try:
            yield Node(prefix, ".", handle, os.fstat(handle))
            yield from _below(handle, prefix, _DEEPEST, links)
        finally:
            os.close(handle)


def _below(handle: int, prefix: str, depth: int, links: dict[_LINKS, str]) -> Iterator[Node]:
    if depth == 0:
        raise errors.TooLarge(f"folders are nested deeper than {_DEEPEST}")
    for name in sorted(os.listdir(handle), key=os.fsencode):
        seen = os.stat(name, dir_fd=handle, follow_symlinks=False)
        path = f"{prefix}/{name}"
        if stat.S_ISDIR(seen.st_mode):
            below = os.open(name, FOLDER, dir_fd=handle)
            try:
                yield Node(path, ".", below, os.fstat(below))
                yield from _below(below, path, depth - 1, links)
            finally:
                os.close(below)
        elif stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode):
            twin = None
            if seen.st_nlink > 1:
                twin = links.setdefault((seen.st_dev, seen.st_ino), path)
            yield Node(path, name, handle, seen, None if twin == path else twin)


def pack(roots: Mapping[str, Path]) -> Generator[bytes, None, None]:
    """A tar of the trees, each below its name, in chunks of at most 1 MiB and a header."""
    held = bytearray()
    for node in nodes(roots):
        for piece in _member(node):
            held += piece
            if len(held) >= BLOCK:
                yield bytes(held)
                held.clear()
    yield bytes(held) + bytes(2 * tarfile.BLOCKSIZE)


def _member(node: Node) -> Iterator[bytes]:
    mode, entry = node.seen.st_mode, tarfile.TarInfo(node.path)
    more: dict[str, str] = {}
    entry.mode, entry.uid, entry.gid = mode & MODE, OWNER, OWNER
    seconds, rest = divmod(abs(node.seen.st_mtime_ns), 10**9)
    sign = "-" if node.seen.st_mtime_ns < 0 else ""
    more["mtime"] = f"{sign}{seconds}.{rest:09}"
    if stat.S_ISDIR(mode):
        entry.type = tarfile.DIRTYPE
    elif node.twin is not None:
        entry.type, entry.linkname = tarfile.LNKTYPE, node.twin
    elif stat.S_ISLNK(mode):
        entry.type = tarfile.SYMTYPE
        entry.linkname = os.readlink(node.name, dir_fd=node.handle)
    else:
        yield from _file(node, entry, more)
        return
    yield _header(entry, more)


def _file(node: Node, entry: tarfile.TarInfo, more: dict[str, str]) -> Iterator[bytes]:
    file, size = node.open(), node.seen.st_size
    try:
        pieces = [(0, size)]
        if node.seen.st_blocks * 512 < size:
            pieces = _pieces(file, size)
        entry.size = sum(length for _, length in pieces)
        if pieces != [(0, size)]:
            if entry.size >= _MOST_SPARSE:
                pieces, entry.size = [(0, size)], size
            else:
                words = [str(number) for piece in pieces for number in piece]
                more["GNU.sparse.size"] = str(size)
                more["GNU.sparse.numblocks"] = str(len(pieces))
                more["GNU.sparse.map"] = ",".join(words)
        yield _header(entry, more)
        for start, length in pieces:
            yield from _range(file, start, length)
    finally:
        os.close(file)
    yield bytes(-entry.size % tarfile.BLOCKSIZE)


def _range(file: int, start: int, length: int) -> Iterator[bytes]:
    while length:
        data = os.pread(file, min(length, BLOCK), start)
        if not data:
            raise errors.SandboxError("a file of the sandbox changed while it was read")
        yield data
        start, length = start + len(data), length - len(data)


def _pieces(file: int, size: int) -> list[tuple[int, int]]:
    """Where a file with holes has data: offset and length. Its end is always named."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size and (start := _seek(file, at, os.SEEK_DATA, at)) is not None:
        at = min(size, _seek(file, start, os.SEEK_HOLE, size) or size)
        if len(found) == _MOST_PIECES - 1:
            at = size
        found.append((start, at - start))
    if not found or sum(found[-1]) < size:
        found.append((size, 0))
    return found


def _seek(file: int, at: int, what: int, otherwise: int) -> int | None:
    """The next data or hole; None when only a hole is left. `otherwise`: if nobody knows holes."""
    try:
        return os.lseek(file, at, what)
    except OSError as failed:
        return None if failed.errno == errno.ENXIO else otherwise


def _header(entry: tarfile.TarInfo, more: dict[str, str]) -> bytes:
    entry.pax_headers = more
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def digest(roots: Mapping[str, Path]) -> str:
    """SHA-256 (hex) over paths, types, modes, times, contents and where links lead."""
    total = hashlib.sha256()
    for node in nodes(roots):
        mode = node.seen.st_mode
        words = [os.fsencode(node.path), b"%o" % stat.S_IFMT(mode), b"%d" % node.seen.st_mtime_ns]
        if node.twin is not None:
            words.append(os.fsencode(node.twin))
        elif stat.S_ISLNK(mode):
            words.append(os.fsencode(os.readlink(node.name, dir_fd=node.handle)))
        elif stat.S_ISREG(mode):
            words.append(_content(node))
        if not stat.S_ISLNK(mode):
            words.append(b"%o" % (mode & MODE))
        total.update(b"\0".join(words) + b"\0\n")
    return total.hexdigest()


def _content(node: Node) -> bytes:
    """A hash over size and content: holes and zeros are alike, and cost nothing."""
    total, size, at = hashlib.sha256(b"%d" % node.seen.st_size), node.seen.st_size, 0
    file = node.open()
    try:
        while at < size and (start := _seek(file, at, os.SEEK_DATA, at)) is not None:
            at = start - start % len(_ZEROS)
            data = os.pread(file, len(_ZEROS), at)
            if data != _ZEROS[: len(data)]:
                total.update(b"\0%d:" % at + data)
            at += len(_ZEROS)
    finally:
        os.close(file)
    return total.hexdigest().encode()
