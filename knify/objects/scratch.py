"""Temporary files that have no name: nothing is left of them, whatever happens."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from knify import errors
from knify.objects import base


def make(folder: Path, in_memory: int) -> BinaryIO:
    """An empty file; up to `in_memory` bytes it takes no room in `folder`."""
    file = tempfile.SpooledTemporaryFile(  # noqa: SIM115  (its users close it)
        max_size=in_memory, dir=str(folder)
    )
    return cast(BinaryIO, file)


def close(file: BinaryIO) -> None:
    """Close it, even when its last bytes find no room."""
    with contextlib.suppress(OSError):
        file.close()


class Sink:
    """Takes all that is written; see `base.Sink`."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self._file = file
        self._folder = folder

    def write(self, data: bytes, /) -> int:
        """All of it."""
        with translated(self._folder):
            return self._file.write(data)

    def flush(self) -> None:
        """It is read again by who has it."""


@contextlib.contextmanager
def holding(pieces: Iterable[bytes], folder: Path, in_memory: int) -> Iterator[BinaryIO]:
    """A file with all of `pieces`, at its start; ObjectStoreError when there is no room."""
    file = make(folder, in_memory)
    try:
        for piece in pieces:
            with translated(folder):
                file.write(piece)
        with translated(folder):
            file.seek(0)
        yield file
    finally:
        close(file)


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """A file's errors become ObjectStoreError, or StorageFull."""
    try:
        yield
    except OSError as failed:
        if failed.errno in base.FULL:
            raise errors.StorageFull(f"no room for a temporary file in {folder}") from failed
        raise errors.ObjectStoreError(f"a temporary file in {folder} failed: {failed}") from failed
