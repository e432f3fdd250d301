"""A folder as a tar.gz, made while it is sent: same content, same bytes, little memory.

Left out is what `ignore` says, and what is neither file, folder nor symbolic link. Times, owners
and umask do not matter; the executable bit does. All lies below one top folder, which the server
strips.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from knify.client import errors, ignore

TOP = "workspace"
_CHUNK = 256 * 1024
_BLOCK = 512
_MTIME = 315_619_200  # 2 January 1980: zip files know no earlier time
_GZIP = 31  # zlib's name for a gzip stream; its header then holds no time and no name


def archive(folder: Path, heard: Callable[[int], None] = lambda size: None) -> Iterator[bytes]:
    """The chunks of the folder's tar.gz; `heard` is told of the bytes read. WorkspaceInvalid."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    for chunk in _tar(folder, heard):
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def size(folder: Path) -> int:
    """The bytes of all files that an archive of the folder would hold."""
    found = (path.lstat() for path in _walk(folder, ignore.rules(folder)))
    return sum(facts.st_size for facts in found if stat.S_ISREG(facts.st_mode))


@dataclass(frozen=True, slots=True)
class Survey:
    """What one wants to know before a folder goes to a server. Paths within the folder."""

    left_out: tuple[str, ...]  # folders end with a slash
    secret: tuple[str, ...]  # what goes along and looks like secrets


def survey(folder: Path) -> Survey:
    """What would be left out of the folder's archive, and what perhaps should be."""
    left_out: list[str] = []
    found = [path for path in _walk(folder, ignore.rules(folder), left_out.append) if _secret(path)]
    secret = tuple(path.relative_to(folder).as_posix() for path in found)
    return Survey(tuple(left_out), secret)


def _secret(path: Path) -> bool:
    """`.env` and `.env.local`, but not `.env.example`."""
    name, _, rest = path.name.removeprefix(".").partition(".")
    hidden = path.name.startswith(".") and not path.is_dir()
    return hidden and name == "env" and rest not in ("example", "sample", "template", "dist")


def _tar(folder: Path, heard: Callable[[int], None]) -> Iterator[bytes]:
    yield _header(TOP, folder, folder)
    for path in _walk(folder, ignore.rules(folder)):
        name = f"{TOP}/{path.relative_to(folder).as_posix()}"
        if path.is_symlink() or path.is_dir():
            yield _header(name, path, folder)
        else:
            yield from _file(name, path, folder, heard)
    yield bytes(2 * _BLOCK)


def _walk(
    folder: Path,
    ignored: ignore.Rules,
    left_out: Callable[[str], object] = lambda name: None,
    within: str = "",
) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)):
        mode = path.lstat().st_mode
        name = f"{within}{path.name}{'/' if stat.S_ISDIR(mode) else ''}"
        if ignored(name):
            left_out(name)
            continue
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
            yield path
        if stat.S_ISDIR(mode):
            yield from _walk(path, ignored, left_out, name)


def _header(name: str, path: Path, folder: Path, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.mtime, info.size = _MTIME, size
    mode = path.lstat().st_mode
    info.mode = 0o755 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o644
    if stat.S_ISDIR(mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        info.type, info.linkname = tarfile.SYMTYPE, _target(path, folder)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _target(link: Path, folder: Path) -> str:
    """Where a link points; the server takes no link that leads out of the workspace."""
    target = str(link.readlink())
    where = os.path.normpath(link.parent.relative_to(folder) / target)
    if target.startswith("/") or where.split("/")[0] == "..":
        raise errors.WorkspaceInvalid(f"the link {link} leads out of the folder, to {target}")
    return target


def _file(name: str, path: Path, folder: Path, heard: Callable[[int], None]) -> Iterator[bytes]:
    with path.open("rb") as file:
        size = left = os.fstat(file.fileno()).st_size
        yield _header(name, path, folder, size)
        # What a growing file gains meanwhile is left out: its size has been told already.
        while left and (chunk := file.read(min(left, _CHUNK))):
            left -= len(chunk)
            heard(len(chunk))
            yield chunk
    if left:
        raise errors.WorkspaceInvalid(f"{path} became smaller while it was read")
    yield bytes(-size % _BLOCK)
