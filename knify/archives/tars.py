"""A strict reader of tar streams: ustar, pax and GNU long names, nothing else.

`tarfile` decodes each header block, but the walk is ours: its own follows sizes and sparse maps
into memory, and backwards, as a hostile file tells it to.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from knify import errors
from knify.archives import entries

BLOCK = tarfile.BLOCKSIZE
MAX_EXTENSION = 64 * 1024  # bytes of one pax or long-name header

_PIECE = 256 * 1024
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_REFUSED = {
    tarfile.LNKTYPE: "a hard link: pack with tar --hard-dereference",
    tarfile.CHRTYPE: "a device: leave it out",
    tarfile.BLKTYPE: "a device: leave it out",
    tarfile.FIFOTYPE: "a FIFO: leave it out",
    tarfile.GNUTYPE_SPARSE: "a sparse file: pack without --sparse",
}


@dataclass(slots=True)
class _Extension:
    """What pax and long-name headers say of the entry that follows them."""

    path: str | None = None
    target: str | None = None
    size: int | None = None
    mtime: int | None = None
    seen: bool = field(default=False)


class _Body:
    """The data of one entry, and never more."""

    def __init__(self, stream: entries.Data, size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % BLOCK

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(min(size, self._left, _PIECE)) if self._left else b""
        if self._left and not piece:
            raise _ends_early()
        self._left -= len(piece)
        return piece

    def skip(self) -> None:
        while self.read(_PIECE):
            pass
        _exactly(self._stream, self._padding)


def looks_like_tar(start: bytes) -> bool:
    """Whether these first bytes of a file are a tar header."""
    try:
        _header(start[:BLOCK])
    except errors.BadRequest:
        return False
    return True


def read(stream: entries.Data) -> Iterator[entries.Entry]:
    """The entries of a tar, one after the other; BadRequest when it is not one to the end."""
    extension = _Extension()
    while (header := _next_header(stream)) is not None:
        if header.type in _PAX or header.type in (
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        ):
            _extend(extension, header, _extension_data(stream, header))
        elif header.type == tarfile.XGLTYPE:
            _check_global(_extension_data(stream, header))
        else:
            entry, body = _entry(stream, header, extension)
            extension = _Extension()
            yield entry
            body.skip()
    if extension.seen:
        raise _ends_early()
    _check_rest(stream)


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError) as failed:
        raise errors.BadRequest(
            "the archive is damaged: a tar header has a wrong checksum or number"
        ) from failed
    if header.size < 0:
        raise errors.BadRequest(f"the entry {entries.shown(header.name)} has a negative size")
    return header


def _next_header(stream: entries.Data) -> tarfile.TarInfo | None:
    """None at the block of zeros that ends a tar."""
    block = _exactly(stream, BLOCK)
    return _header(block) if any(block) else None


def _entry(
    stream: entries.Data, header: tarfile.TarInfo, extension: _Extension
) -> tuple[entries.Entry, _Body]:
    name = header.name if extension.path is None else extension.path
    kind = _kind(header.type, name)
    size = header.size if extension.size is None else extension.size
    body = _Body(stream, size if kind is entries.Kind.FILE else 0)
    entry = entries.Entry(
        name=name,
        kind=kind,
        size=size if kind is entries.Kind.FILE else 0,
        mode=header.mode,
        mtime=int(header.mtime) if extension.mtime is None else extension.mtime,
        target=header.linkname if extension.target is None else extension.target,
        data=body,
    )
    return entry, body


def _kind(kind: bytes, name: str) -> entries.Kind:
    if kind == tarfile.DIRTYPE or (kind in _FILES and name.endswith("/")):
        return entries.Kind.FOLDER
    if kind in _FILES:
        return entries.Kind.FILE
    if kind == tarfile.SYMTYPE:
        return entries.Kind.SYMLINK
    reason = _REFUSED.get(kind, f"of the unknown type {kind.decode('latin-1')!a}: leave it out")
    raise errors.BadRequest(f"the entry {entries.shown(name)} is {reason}")


def _extension_data(stream: entries.Data, header: tarfile.TarInfo) -> bytes:
    if header.size > MAX_EXTENSION:
        raise errors.BadRequest(
            "the archive has an entry with too long a name or too many attributes"
        )
    data = _exactly(stream, header.size)
    _exactly(stream, -header.size % BLOCK)
    return data


def _extend(extension: _Extension, header: tarfile.TarInfo, data: bytes) -> None:
    extension.seen = True
    if header.type == tarfile.GNUTYPE_LONGNAME:
        extension.path = _text(data.partition(b"\0")[0])
    elif header.type == tarfile.GNUTYPE_LONGLINK:
        extension.target = _text(data.partition(b"\0")[0])
    else:
        _apply(extension, _records(data))


def _apply(extension: _Extension, records: dict[str, bytes]) -> None:
    if any(key.startswith("GNU.sparse") for key in records):
        raise errors.BadRequest("the archive holds a sparse file: pack without --sparse")
    if "path" in records:
        extension.path = _text(records["path"])
    if "linkpath" in records:
        extension.target = _text(records["linkpath"])
    if "size" in records:
        extension.size = _number(records["size"])
    if "mtime" in records:
        extension.mtime = _seconds(records["mtime"])


def _check_global(data: bytes) -> None:
    """`git archive` writes its commit into one; nothing that matters may stand there."""
    if {"path", "linkpath", "size"} & _records(data).keys():
        raise errors.BadRequest("the archive names an entry in a global header: pack it anew")


def _records(data: bytes) -> dict[str, bytes]:
    """Pax records: `LENGTH KEY=VALUE\\n`, the length counting all of it."""
    found = {}
    while data.strip(b"\0"):
        digits, _, _ = data[:20].partition(b" ")
        length = _number(digits)
        key, equals, value = data[len(digits) + 1 : length].partition(b"=")
        if not equals or not value.endswith(b"\n") or length > len(data):
            raise _damaged()
        found[_text(key)] = value[:-1]
        data = data[length:]
    return found


def _number(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 18:
        raise _damaged()
    return int(digits)


def _seconds(text: bytes) -> int:
    try:
        seconds = float(text)
    except ValueError:
        raise _damaged() from None
    return int(seconds) if math.isfinite(seconds) else 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _check_rest(stream: entries.Data) -> None:
    """Only zeros may follow; reading them also checks the compression's own checksum."""
    while piece := stream.read(_PIECE):
        if piece.strip(b"\0"):
            raise errors.BadRequest(
                "the archive goes on behind its end, as joined tars do: pack it as one"
            )


def _exactly(stream: entries.Data, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise _ends_early()
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _ends_early() -> errors.BadRequest:
    return errors.BadRequest("the archive ends early: upload it again")


def _damaged() -> errors.BadRequest:
    return errors.BadRequest("the archive is damaged: an extended header makes no sense")
