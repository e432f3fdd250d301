"""Looking for secrets in files on their way to the object store: what holds any is kept back."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from knify import masking

_PREFIX: Final = re.compile(rb"(?<=\n)[-+ ]")  # of the lines of a patch
_PACKED: Final = re.compile(rb"(literal|delta) [0-9]{1,15}")  # how a binary file begins in one
_LINE: Final = 1_000  # bytes; lines of packed files have 66 at most
_PIECE: Final = 1024**2  # bytes that are unpacked at a time
_MOST: Final = 1024**3  # bytes that are unpacked of one patch


class Held(Exception):
    """The file holds a secret."""


def through(masks: masking.Masks, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as they are. Held, before the end, when a form of a secret is in them."""
    search = masking.Search(masks)
    for chunk in chunks:
        _look(search, chunk)
        yield chunk
    search.finish()
    _check(search)


def patch(masks: masking.Masks, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same of a patch of git's, where lines have a letter before them, and files are packed."""
    lines, packed = masking.Search(masks), _Packed(masks)
    begins = b"\n"
    for chunk in through(masks, chunks):
        _look(lines, _PREFIX.sub(b"", begins + chunk))
        packed.feed(chunk)
        begins = b"\n" if chunk.endswith(b"\n") else b""
        yield chunk
    lines.finish()
    _check(lines)


def is_held(chunks: Iterable[bytes]) -> bool:
    """Whether what one of the above gives is kept back."""
    try:
        for _ in chunks:
            pass
    except Held:
        return True
    return False


class _Packed:
    """The binary files in a patch: deflated, in base 85, perhaps as what was put into an old one.

    What breaks its format is no file that anybody could unpack either.
    """

    def __init__(self, masks: masking.Masks) -> None:
        self._masks = masks
        self._rest = b""
        self._left = _MOST
        self._search = masking.Search(masks)
        self._inflate: zlib._Decompress | None = None  # within such a file
        self._delta: _Delta | None = None

    def feed(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[:_LINE]
        for line in lines:
            if self._inflate is None:
                self._begin(line)
            elif line:
                self._unpack(line)
            else:
                self._end()

    def _begin(self, line: bytes) -> None:
        found = _PACKED.fullmatch(line) if len(line) < _LINE else None
        if found is not None:
            self._search = masking.Search(self._masks)
            self._inflate = zlib.decompressobj()
            self._delta = _Delta() if found[1] == b"delta" else None

    def _end(self) -> None:
        self._inflate = self._delta = None

    def _unpack(self, line: bytes) -> None:
        assert self._inflate is not None
        size = line[0] - 64 if line[0] < 97 else line[0] - 70  # A is 1, z is 52
        try:
            packed = base64.b85decode(line[1:])[: max(size, 0)]
            while packed:
                self._look(self._inflate.decompress(packed, _PIECE))
                packed = self._inflate.unconsumed_tail
        except (ValueError, zlib.error):
            self._end()

    def _look(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise Held  # nobody knows: it is too much to look into
        _look(self._search, self._delta.inserted(data) if self._delta else data)


class _Delta:
    """What a delta of git's puts into a file: two sizes, then copies and insertions."""

    def __init__(self) -> None:
        self._sizes = 2
        self._rest = b""

    def inserted(self, data: bytes) -> bytes:
        """The bytes that this piece of it puts in."""
        data, at, found = self._rest + data, 0, []
        while at < len(data):
            order = data[at]
            if self._sizes:  # each ends with a byte below 128
                self._sizes -= order < 128
                at += 1
                continue
            is_copy = order >= 128
            behind = at + 1 + ((order & 127).bit_count() if is_copy else order)
            if behind > len(data):
                break
            found += [] if is_copy else [data[at + 1 : behind]]
            at = behind
        self._rest = data[at:]
        return b"".join(found)


def _look(search: masking.Search, data: bytes) -> None:
    search.feed(data)
    _check(search)


def _check(search: masking.Search) -> None:
    if search.spans:
        raise Held
