"""An uploaded archive made into one plain tar that can be unpacked without a second thought."""

from __future__ import annotations

import hashlib
import os
import tarfile
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from knify import errors
from knify.archives import entries, formats

OWNER = 1000  # uid and gid of the user `agent` in every sandbox
MAX_MTIME = 2**33 - 1  # what a ustar header holds
_PIECE = 256 * 1024  # bytes read at a time

Parts = tuple[str, ...]

_TYPES = {
    entries.Kind.FILE: tarfile.REGTYPE,
    entries.Kind.FOLDER: tarfile.DIRTYPE,
    entries.Kind.SYMLINK: tarfile.SYMTYPE,
}


class Normalised:
    """The tar, made while it is iterated: once. What it adds up to is known after that."""

    def __init__(self, file: BinaryIO, top: int, limits: entries.Limits) -> None:
        self._file = file
        self._top = top
        self._limits = limits
        self._hash = hashlib.sha256()
        self.size = 0  # bytes of the unpacked files
        self.files = 0  # entries that are not folders

    @property
    def sha256(self) -> str:
        """Of the tar; the same content in the same order gives the same one."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of some hundred KiB at most. BadRequest, TooLarge."""
        for piece in _padded(self._members()):
            self._hash.update(piece)
            yield piece

    def _members(self) -> Iterator[bytes]:
        for parts, entry in _kept(self._file, self._limits):
            if stripped := parts[self._top :]:
                info = _info(stripped, entry, self._limits)
                yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
                yield from _content(entry)
                self.size += entry.size
                self.files += entry.kind is not entries.Kind.FOLDER


def normalise(file: BinaryIO, limits: entries.Limits | None = None) -> Normalised:
    """Check the archive in `file` (seekable, the caller's); iterating reads it once more.

    The tar holds regular files, folders and symlinks that stay inside, owned by `agent`, without
    setuid bits, in their old order; a single top folder is stripped, what macOS adds (`__MACOSX`,
    `._x`) is left out. BadRequest names the entry and the cure; TooLarge when a limit is passed;
    both may also come while it is iterated. Hard links, devices, FIFOs, sparse files and a name
    given twice are refused.
    """
    limits = limits or entries.Limits()
    return Normalised(file, _survey(file, limits).top(), limits)


def _padded(members: Iterator[bytes]) -> Iterator[bytes]:
    """With the end that tar wants: two blocks of zeros, filled up to a whole record."""
    size = 0
    for piece in members:
        size += len(piece)
        yield piece
    size += 2 * tarfile.BLOCKSIZE
    yield bytes(2 * tarfile.BLOCKSIZE + -size % tarfile.RECORDSIZE)


def _content(entry: entries.Entry) -> Iterator[bytes]:
    """Exactly the bytes that its header has told, and the padding."""
    left = entry.size
    while left:
        piece = entry.data.read(min(left, _PIECE))
        if not piece:
            name = entries.shown(entry.name)
            raise errors.BadRequest(f"the entry {name} ends early: upload it again")
        left -= len(piece)
        yield piece
    yield bytes(-entry.size % tarfile.BLOCKSIZE)


class _Survey:
    """The names seen so far, and what they add up to."""

    def __init__(self, packed: int, limits: entries.Limits) -> None:
        self._kinds: dict[str, entries.Kind] = {}  # of each name and of each folder above it
        self._composed: dict[str, str] = {}  # names that have another form in Unicode, by that
        self._tops: set[str] = set()
        self._packed = packed
        self._limits = limits
        self._size = 0

    def add(self, parts: Parts, entry: entries.Entry) -> None:
        """Count it; BadRequest or TooLarge when it does not fit to the others."""
        self._size += entry.size
        entries.check_size(self._size, self._packed, self._limits)
        self._tops.add(parts[0])
        for depth in range(1, len(parts)):
            self._place("/".join(parts[:depth]), entries.Kind.FOLDER)
        path = "/".join(parts)
        if self._kinds.get(path) is entry.kind is not entries.Kind.FOLDER:
            raise errors.BadRequest(
                f"the archive holds the entry {entries.shown(path)} twice: pack it anew"
            )
        self._place(path, entry.kind)
        entries.check_count(len(self._kinds), self._limits)

    def _place(self, path: str, kind: entries.Kind) -> None:
        self._check_form(path)
        before = self._kinds.setdefault(path, kind)
        if before is not kind:
            raise errors.BadRequest(
                f"the entry {entries.shown(path)} is both a {before} and a {kind}: pack it anew"
            )

    def _check_form(self, path: str) -> None:
        """Names that look and sort alike are one name to their author, and to macOS."""
        if path.isascii():
            return
        same = self._composed.setdefault(unicodedata.normalize("NFC", path), path)
        if same != path:
            raise errors.BadRequest(
                f"the archive holds {entries.shown(path)} beside {entries.shown(same)}, the same "
                "name in another form of Unicode: rename one"
            )

    def top(self) -> int:
        """How many leading parts to strip from every name: 1 for a single top folder."""
        tops = list(self._tops)
        alone = len(tops) == 1 and self._kinds[tops[0]] is entries.Kind.FOLDER
        if len(self._kinds) <= alone:
            raise errors.BadRequest("the archive is empty: pack the folder with its files")
        return int(alone)


def _survey(file: BinaryIO, limits: entries.Limits) -> _Survey:
    survey = _Survey(file.seek(0, os.SEEK_END), limits)
    for parts, entry in _kept(file, limits):
        survey.add(parts, entry)
    return survey


def _kept(file: BinaryIO, limits: entries.Limits) -> Iterator[tuple[Parts, entries.Entry]]:
    """Entries with their checked names, without the root itself and what macOS adds."""
    for entry in formats.read(file, limits):
        parts = entries.segments(entry.name, limits)
        if parts and parts[0] != "__MACOSX" and not parts[-1].startswith("._"):
            yield parts, entry


def _info(parts: Parts, entry: entries.Entry, limits: entries.Limits) -> tarfile.TarInfo:
    info = tarfile.TarInfo("/".join(parts))
    info.type = _TYPES[entry.kind]
    info.size = entry.size
    info.mode = _mode(entry)
    info.mtime = min(max(entry.mtime, 0), MAX_MTIME)
    info.uid = info.gid = OWNER
    info.uname = info.gname = "agent"
    if entry.kind is entries.Kind.SYMLINK:
        entries.check_target(parts, entry.target, limits)
        info.linkname = entry.target
    return info


def _mode(entry: entries.Entry) -> int:
    """No setuid, setgid or sticky bit, and never out of its owner's reach."""
    if entry.kind is entries.Kind.SYMLINK:
        return 0o777
    return entry.mode & 0o777 | (0o700 if entry.kind is entries.Kind.FOLDER else 0o600)
