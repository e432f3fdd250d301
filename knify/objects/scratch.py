"""Temporary files that have no name: nothing is left of them, whatever happens."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from knify import errors


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


@contextlib.contextmanager
def holding(pieces: Iterable[bytes], folder: Path, in_memory: int) -> Iterator[BinaryIO]:
    """A file with all of `pieces`, at its start; ObjectStoreError when there is no room."""
    file = make(folder, in_memory)
    try:
        for piece in pieces:
            with _translated(folder):
                file.write(piece)
        with _translated(folder):
            file.seek(0)
        yield file
    finally:
        close(file)


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failed:
        raise errors.ObjectStoreError(f"a temporary file in {folder} failed: {failed}") from failed
