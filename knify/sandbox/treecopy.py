"""A copy of a folder that only this node's worker writes to, into a sandbox's fresh volume.

The kernel copies, sharing blocks where the file system can. All is done by this very process, below
directory descriptors: a child that outlived it could write into a sandbox that runs by then.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from knify import errors
from knify.sandbox import archive

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST: Final = 256
#: What a kernel says that cannot copy between these two by itself.
_UNABLE: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def copy(source: Path, target: Path) -> None:
    """Files, folders and symlinks with modes and times; `target` is empty. SandboxError."""
    try:
        below = os.open(source, archive.FOLDER)
        try:
            here = os.open(target, archive.FOLDER)
            try:
                _folder(below, here, _DEEPEST)
            finally:
                os.close(here)
        finally:
            os.close(below)
    except OSError as failed:
        raise errors.SandboxError(f"the workspace cannot be copied: {failed.strerror}") from failed


def _folder(source: int, target: int, depth: int) -> None:
    if depth == 0:
        raise errors.SandboxError(f"folders are nested deeper than {_DEEPEST}")
    with os.scandir(source) as rows:
        for row in rows:
            seen = row.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                _below(source, target, row.name, seen, depth)
            elif stat.S_ISLNK(seen.st_mode):
                os.symlink(os.readlink(row.name, dir_fd=source), row.name, dir_fd=target)
                os.utime(row.name, ns=_times(seen), dir_fd=target, follow_symlinks=False)
            elif stat.S_ISREG(seen.st_mode):
                _file(source, target, row.name, seen)


def _below(source: int, target: int, name: str, seen: os.stat_result, depth: int) -> None:
    os.mkdir(name, 0o700, dir_fd=target)
    below = os.open(name, archive.FOLDER, dir_fd=source)
    try:
        here = os.open(name, archive.FOLDER, dir_fd=target)
        try:
            _folder(below, here, depth - 1)
            _finish(here, seen)
        finally:
            os.close(here)
    finally:
        os.close(below)


def _file(source: int, target: int, name: str, seen: os.stat_result) -> None:
    file = os.open(name, _FILE, dir_fd=source)
    try:
        made = os.open(name, _NEW, 0o600, dir_fd=target)
        try:
            _content(file, made, seen.st_size)
            _finish(made, seen)
        finally:
            os.close(made)
    finally:
        os.close(file)


def _content(file: int, made: int, left: int) -> None:
    try:
        while left:
            copied = os.copy_file_range(file, made, left)
            if not copied:
                raise errors.SandboxError("a file of the workspace became shorter")
            left -= copied
    except OSError as failed:
        if failed.errno not in _UNABLE:
            raise
        _by_hand(file, made, left)


def _by_hand(file: int, made: int, left: int) -> None:
    while left:
        data = memoryview(os.read(file, archive.BLOCK))
        if not data:
            raise errors.SandboxError("a file of the workspace became shorter")
        left -= len(data)
        while data:
            data = data[os.write(made, data) :]


def _finish(made: int, seen: os.stat_result) -> None:
    os.fchmod(made, stat.S_IMODE(seen.st_mode))
    os.utime(made, ns=_times(seen))


def _times(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_mtime_ns, seen.st_mtime_ns
