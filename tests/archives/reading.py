"""What comes out of an archive, or why nothing does."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from knify import errors
from knify.archives import entries, normalise


def normalised(
    content: bytes, spool: Path, limits: entries.Limits | None = None
) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with normalise.normalise(io.BytesIO(content), spool, limits) as result:
        with tarfile.open(result.path, "r:") as archive:
            found = {info.name: (info, _content(archive, info)) for info in archive.getmembers()}
        assert result.size == sum(info.size for info, _ in found.values())
        assert result.files == sum(not info.isdir() for info, _ in found.values())
        assert len(result.sha256) == 64
    assert list(spool.iterdir()) == []
    return found


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info) if info.isreg() else None
    return file.read() if file else b""


def refusal(content: bytes, spool: Path, limits: entries.Limits | None = None) -> str:
    with pytest.raises(errors.BadRequest) as raised:
        normalise.normalise(io.BytesIO(content), spool, limits)
    assert list(spool.iterdir()) == []
    return raised.value.message
