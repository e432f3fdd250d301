"""An uploaded archive made into one plain tar that can be unpacked without a second thought."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self, cast

from knify import errors
from knify.archives import entries, formats

OWNER = 1000  # uid and gid of the user `agent` in every sandbox
MAX_MTIME = 2**33 - 1  # what a ustar header holds

Parts = tuple[str, ...]

_TYPES = {
    entries.Kind.FILE: tarfile.REGTYPE,
    entries.Kind.FOLDER: tarfile.DIRTYPE,
    entries.Kind.SYMLINK: tarfile.SYMTYPE,
}


@dataclass(frozen=True, slots=True)
class Normalised:
    """A tar file on disk; leaving `with` removes it."""

    path: Path
    size: int  # bytes of the unpacked files
    files: int  # entries that are not folders
    sha256: str  # of the tar; the same content in the same order gives the same one

    def __enter__(self) -> Self:
        """Removed on leaving."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def normalise(file: BinaryIO, spool: Path, limits: entries.Limits | None = None) -> Normalised:
    """Read the archive in `file` (seekable) twice: to check it, then to write it anew.

    The tar lies in the folder `spool` and belongs to the caller. It holds regular files, folders
    and symlinks that stay inside, owned by `agent`, without setuid bits, in their old order; a
    single top folder is stripped, what macOS adds (`__MACOSX`, `._x`) is left out. BadRequest
    names the entry and the cure; TooLarge when a limit is passed; ObjectStoreError when `spool`
    has no room. Hard links, devices, FIFOs, sparse files and a name given twice are refused.
    """
    limits = limits or entries.Limits()
    top = _survey(file, limits).top()
    try:
        descriptor, name = tempfile.mkstemp(dir=spool, suffix=".tar")
        path = Path(name)
        with _removed_on_failure(path), os.fdopen(descriptor, "w+b") as out:
            size, files = _write(file, out, top, limits)
            out.seek(0)
            sha256 = hashlib.file_digest(out, "sha256").hexdigest()
    except OSError as failed:
        raise errors.ObjectStoreError(f"unpacking in {spool} failed: {failed}") from failed
    return Normalised(path, size, files, sha256)


@contextlib.contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class _Survey:
    """The names seen so far, and what they add up to."""

    def __init__(self, packed: int, limits: entries.Limits) -> None:
        self._kinds: dict[str, entries.Kind] = {}  # of each name and of each folder above it
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
        before = self._kinds.setdefault(path, kind)
        if before is not kind:
            raise errors.BadRequest(
                f"the entry {entries.shown(path)} is both a {before} and a {kind}: pack it anew"
            )

    def top(self) -> int:
        """How many leading parts to strip from every name: 1 for a single top folder."""
        tops = list(self._tops)
        alone = len(tops) == 1 and self._kinds[tops[0]] is entries.Kind.FOLDER
        if len(self._kinds) <= alone:
            raise errors.BadRequest("the archive is empty: pack the folder with its files")
        return int(alone)


class _Whole:
    """Reads as many bytes as asked for, which `tarfile` insists on."""

    def __init__(self, entry: entries.Entry) -> None:
        self._entry = entry

    def read(self, size: int, /) -> bytes:
        parts = []
        while size:
            part = self._entry.data.read(size)
            if not part:
                name = entries.shown(self._entry.name)
                raise errors.BadRequest(f"the entry {name} ends early: upload it again")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


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


def _write(file: BinaryIO, out: IO[bytes], top: int, limits: entries.Limits) -> tuple[int, int]:
    """The unpacked bytes and the entries that are not folders."""
    size = files = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for parts, entry in _kept(file, limits):
            if stripped := parts[top:]:
                archive.addfile(_info(stripped, entry, limits), cast(IO[bytes], _Whole(entry)))
                archive.getmembers().clear()  # it would keep them all
                size += entry.size
                files += entry.kind is not entries.Kind.FOLDER
    return size, files


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
