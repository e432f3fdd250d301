"""A strict reader of zip files."""

from __future__ import annotations

import calendar
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO

from knify import errors
from knify.archives import entries

MAX_DIRECTORY = 16 * 1024**2  # bytes of the table of contents, which `zipfile` holds in memory

_UTF8 = 0x800
_ENCRYPTED = 0x1
_UNIX = 3
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError,
    OverflowError, struct.error, IndexError,
)  # fmt: skip


class _Bounded:
    """A file that never reads much at once, whatever sizes the archive claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET and not 0 <= offset < 2**62:
            raise ValueError("not a place in a file")  # else an OSError, as from a bad disk
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise errors.TooLarge("the archive's table of contents is too large: leave files out")
        return self._file.read(MAX_DIRECTORY if size < 0 else size)


class _Member:
    """The data of one entry, opened when it is first read."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._info = info
        self._left = info.file_size
        self._file: IO[bytes] | None = None

    def read(self, size: int, /) -> bytes:
        try:
            if self._file is None:
                self._file = self._archive.open(self._info)
            piece = self._file.read(size)
        except _BROKEN as failed:
            raise _damaged(self._info.filename) from failed
        self._left -= len(piece)
        if size and not piece and self._left:
            raise _damaged(self._info.filename)
        return piece


def read(file: BinaryIO) -> Iterator[entries.Entry]:
    """The entries of a zip, in the order of its table; BadRequest when it is not one."""
    try:
        archive = zipfile.ZipFile(_Bounded(file))
    except _BROKEN as failed:
        raise errors.BadRequest("the zip file is damaged or cut off: upload it again") from failed
    with archive:
        for info in archive.infolist():
            yield _entry(archive, info)


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> entries.Entry:
    name = _name(info)
    kind = _kind(info, name)
    data = _Member(archive, info)
    return entries.Entry(
        name=name,
        kind=kind,
        size=info.file_size if kind is entries.Kind.FILE else 0,
        mode=_mode(info) or (0o755 if kind is entries.Kind.FOLDER else 0o644),
        mtime=_mtime(info),
        target=_target(data, name, info) if kind is entries.Kind.SYMLINK else "",
        data=data,
    )


def _name(info: zipfile.ZipInfo) -> str:
    """Unflagged names are code page 437 by the book, but UTF-8 from most tools of today."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        try:
            name = name.encode("cp437").decode()
        except (UnicodeEncodeError, UnicodeDecodeError):
            pass
    if "\\" in name:
        raise errors.BadRequest(
            f"the entry {entries.shown(name)} has a backslash in its name: pack with slashes"
        )
    return name


def _kind(info: zipfile.ZipInfo, name: str) -> entries.Kind:
    if info.flag_bits & _ENCRYPTED:
        raise errors.BadRequest(f"the entry {entries.shown(name)} is encrypted: pack without")
    if info.compress_type not in _METHODS:
        raise errors.BadRequest(
            f"the entry {entries.shown(name)} is packed by a rare method: use deflate"
        )
    kind = stat.S_IFMT(_mode(info))
    if name.endswith("/") or kind == stat.S_IFDIR:
        return entries.Kind.FOLDER
    if kind == stat.S_IFLNK:
        return entries.Kind.SYMLINK
    if kind in (0, stat.S_IFREG):
        return entries.Kind.FILE
    raise errors.BadRequest(f"the entry {entries.shown(name)} is a device or FIFO: leave it out")


def _mode(info: zipfile.ZipInfo) -> int:
    return info.external_attr >> 16 if info.create_system == _UNIX else 0


def _mtime(info: zipfile.ZipInfo) -> int:
    try:
        return calendar.timegm((*info.date_time, 0, 0, 0))
    except (ValueError, OverflowError):
        return 0


def _target(data: _Member, name: str, info: zipfile.ZipInfo) -> str:
    if info.file_size > 4_096:
        raise errors.BadRequest(f"the target of the symlink {entries.shown(name)} is too long")
    return data.read(4_096).decode("utf-8", "surrogateescape")


def _damaged(name: str) -> errors.BadRequest:
    return errors.BadRequest(f"the entry {entries.shown(name)} is damaged: upload it again")
