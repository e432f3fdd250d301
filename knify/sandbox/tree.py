"""Reading a folder that is hostile: nothing outside it can be reached, whatever it links to.

Every component is opened below its parent's descriptor, without following links, and anything
but regular files and folders is passed over.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from knify import errors

SKIPPED = frozenset(
    {".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".nox"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache"}
)
_DEEPEST = 256
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file as it was; ctime and not mtime, which anyone can set."""

    size: int
    ctime_ns: int
    inode: int
    mode: int


Listing = dict[str, Entry]


def nothing() -> None:
    """A check that lets everything go on."""


def listing(
    root: Path,
    max_entries: int = 200_000,
    max_depth: int = 64,
    check: Callable[[], None] = nothing,
) -> Listing:
    """All regular files below `root`: path with forward slashes -> entry.

    `check` is called before each entry; what it raises ends the listing.
    Raises TooLarge beyond `max_entries` files and folders; deeper folders are left out. Names
    that are no UTF-8 come with surrogates.
    """
    found: Listing = {}
    left = [max_entries]
    handle = os.open(root, _FOLDER)
    try:
        for path, entry in _walk(handle, "", max_depth, left, check):
            found[path] = entry
    finally:
        os.close(handle)
    return found


def _walk(
    handle: int, prefix: str, depth: int, left: list[int], check: Callable[[], None]
) -> Iterator[tuple[str, Entry]]:
    folders = []
    with os.scandir(handle) as rows:
        for row in rows:
            check()
            left[0] -= 1
            if left[0] < 0:
                raise errors.TooLarge("the workspace holds too many files")
            try:
                seen = row.stat(follow_symlinks=False)
            except OSError:  # gone meanwhile
                continue
            if stat.S_ISREG(seen.st_mode):
                mode = stat.S_IMODE(seen.st_mode)
                yield prefix + row.name, Entry(seen.st_size, seen.st_ctime_ns, seen.st_ino, mode)
            elif stat.S_ISDIR(seen.st_mode) and row.name not in SKIPPED:
                folders.append(row.name)
    for name in folders if depth > 0 else ():
        try:
            below = os.open(name, _FOLDER, dir_fd=handle)
        except OSError:  # gone, or no longer a folder
            continue
        try:
            yield from _walk(below, f"{prefix}{name}/", depth - 1, left, check)
        finally:
            os.close(below)


def usage(root: Path, most: int) -> int:
    """Bytes on disk below `root`, all of it; more than `most` is not measured exactly.

    Folders nested deeper than anyone needs count as more than `most`.
    """
    handle = os.open(root, _FOLDER)
    try:
        return _usage(handle, most, _DEEPEST)
    finally:
        os.close(handle)


def _usage(handle: int, most: int, depth: int) -> int:
    total = 0
    if depth == 0:
        return most + 1
    with os.scandir(handle) as rows:
        for row in rows:
            try:
                seen = row.stat(follow_symlinks=False)
                total += seen.st_blocks * 512
                if stat.S_ISDIR(seen.st_mode):
                    below = os.open(row.name, _FOLDER, dir_fd=handle)
                    try:
                        total += _usage(below, most - total, depth - 1)
                    finally:
                        os.close(below)
            except OSError:  # gone meanwhile, or no longer a folder
                continue
            if total > most:
                break
    return total


def open_file(root: Path, path: str) -> io.BufferedReader:
    """The regular file at `path` below `root`; NotFound for anything else, links included."""
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise errors.NotFound("no such file")
    handle = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            handle = _step(handle, part)
        file = os.open(parts[-1], _FILE, dir_fd=handle)
    except OSError as failed:
        raise errors.NotFound("no such file") from failed
    finally:
        os.close(handle)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise errors.NotFound("no such file")
    return os.fdopen(file, "rb")


def _step(handle: int, name: str) -> int:
    below = os.open(name, _FOLDER, dir_fd=handle)
    os.close(handle)
    return below


def exists(root: Path, path: str) -> bool:
    """Whether a regular file stands at `path` below `root`."""
    try:
        open_file(root, path).close()
    except errors.NotFound:
        return False
    return True


def changed(before: Listing, after: Listing) -> list[str]:
    """Paths that are new or differ, sorted; a change of mode alone shows in the ctime too."""
    return sorted(path for path, entry in after.items() if before.get(path) != entry)


def dump(files: Listing) -> bytes:
    """A listing in a compact form: JSON lines, compressed."""
    rows = (
        json.dumps([path, entry.size, entry.ctime_ns, entry.inode, entry.mode])
        for path, entry in files.items()
    )
    return gzip.compress("\n".join(rows).encode("ascii"), compresslevel=3, mtime=0)


def load(content: bytes) -> Listing:
    """What `dump` wrote."""
    rows = (json.loads(row) for row in gzip.decompress(content).decode("ascii").splitlines())
    return {path: Entry(size, ctime, inode, mode) for path, size, ctime, inode, mode in rows}
