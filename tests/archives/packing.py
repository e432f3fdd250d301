"""Archives for the tests, good and hostile."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import zstandard

MTIME = 1_700_000_000


def tar(*members: tarfile.TarInfo | tuple[str, bytes], **options: object) -> bytes:
    """A tar of these members; a pair is a regular file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as archive:  # type: ignore[call-overload]
        for each in members:
            info, content = (
                (each, b"") if isinstance(each, tarfile.TarInfo) else (file(*each), each[1])
            )
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def file(name: str, content: bytes = b"", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), mode, MTIME
    return info


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = file(name)
    info.type, info.linkname = kind, target
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    return special(name, tarfile.SYMTYPE, target)


def folder(name: str) -> tarfile.TarInfo:
    return special(name, tarfile.DIRTYPE)


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def zip_info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20))
    info.create_system, info.external_attr = 3, mode << 16
    return info


def packed(content: bytes, form: str) -> bytes:
    """A tar as `tar`, `tar.gz` or `tar.zst`."""
    if form == "tar.gz":
        return gzip.compress(content)
    return zstandard.compress(content) if form == "tar.zst" else content
