"""A disk that is full, without filling one that others need."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes: writing fails with an OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def of_its_own(folder: Path, size: str) -> Iterator[None]:
    """A small file system of its own at this folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = ["-o", f"size={size},mode=700"]
    subprocess.run(["mount", "-t", "tmpfs", *options, "knify-test", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is left on the folder's file system."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            piece = bytes(65536)
            while file.write(piece) == len(piece):
                pass
        yield
    finally:
        filler.unlink(missing_ok=True)
