"""What comes out of an archive, or why nothing does."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from knify import errors
from knify.archives import entries, normalise


def normalised(
    content: bytes, limits: entries.Limits | None = None
) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    made = normalise.normalise(io.BytesIO(content), limits)
    tar = b"".join(made)
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        found = {info.name: (info, _content(archive, info)) for info in archive.getmembers()}
    assert made.size == sum(info.size for info, _ in found.values())
    assert made.files == sum(not info.isdir() for info, _ in found.values())
    assert made.sha256 == hashlib.sha256(tar).hexdigest()
    return found


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info) if info.isreg() else None
    return file.read() if file else b""


def refusal(content: bytes, limits: entries.Limits | None = None) -> str:
    with pytest.raises(errors.BadRequest) as raised:
        list(normalise.normalise(io.BytesIO(content), limits))
    return raised.value.message


def checksum(content: bytes) -> str:
    made = normalise.normalise(io.BytesIO(content))
    for _ in made:
        pass
    return made.sha256
