"""From an uploaded file to its entries; the format is seen by its first bytes, not its name."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from knify import errors
from knify.archives import entries, tars, zips

MAX_WINDOW = 128 * 1024**2  # bytes of memory that a zstd stream may ask for

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
_CURE = "upload a .tar.gz, .tar, .tar.zst or .zip"


def read(file: BinaryIO, limits: entries.Limits) -> Iterator[entries.Entry]:
    """All entries of the archive in `file`, which must be seekable; it is read from its start.

    BadRequest when it is no archive or a damaged one, TooLarge when it unpacks to too much.
    """
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(tars.BLOCK)
    file.seek(0)
    if start.startswith(_ZIP):
        return zips.read(file)
    return tars.read(_Unpacked(_stream(file, start), packed, limits))


def _stream(file: BinaryIO, start: bytes) -> entries.Data:
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(_ZSTD):
        unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        return unpacker.stream_reader(file, read_across_frames=True, closefd=False)
    if tars.looks_like_tar(start):
        return file
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            raise errors.BadRequest(f"{name} archives are not supported: {_CURE}")
    raise errors.BadRequest(f"this is not an archive: {_CURE}")


class _Unpacked:
    """A decompressed stream that stops at the limits."""

    def __init__(self, stream: entries.Data, packed: int, limits: entries.Limits) -> None:
        self._stream = stream
        self._packed = packed
        self._limits = limits
        # Headers and padding come on top of the files' own bytes.
        self._headers = limits.entries * 4 * tars.BLOCK
        self._size = 0

    def read(self, size: int, /) -> bytes:
        try:
            piece = self._stream.read(size)
        except (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError) as failed:
            raise errors.BadRequest(
                "the archive is damaged or cut off: upload it again"
            ) from failed
        self._size += len(piece)
        entries.check_size(max(0, self._size - self._headers), self._packed, self._limits)
        return piece
