"""The host's static busybox: the shell of every sandbox and the whole of the probe's image."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

from knify import errors

_PLACES = ("/usr/bin/busybox", "/bin/busybox", "/usr/local/bin/busybox")
_PT_INTERP = 3
# Links for what the probe's scripts call by name.
_APPLETS = ("sh", "cat", "dd", "sleep", "true", "grep", "awk")


def find() -> Path | None:
    """A busybox that runs in any image, with or without a libc; None when there is none."""
    return next((Path(place) for place in _PLACES if _is_static(Path(place))), None)


def require() -> Path:
    """The same; ConfigError when there is none."""
    found = find()
    if found is None:
        raise errors.ConfigError("no static busybox: install the package busybox-static")
    return found


def image_tar(binary: Path) -> bytes:
    """A root file system of busybox alone, for `podman import`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        data = binary.read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(data), 0o755
        tar.addfile(entry, io.BytesIO(data))
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for folder in ("tmp", "proc", "sys", "dev"):
            tar.addfile(_folder(folder))
    return packed.getvalue()


def _folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _is_static(path: Path) -> bool:
    """Whether it is an ELF file that asks for no dynamic loader (has no PT_INTERP header)."""
    if not path.is_file():
        return False
    with path.open("rb") as binary:
        head = binary.read(4096)
    if len(head) < 64 or not head.startswith(b"\x7fELF") or head[4] != 2:
        return False
    start = struct.unpack_from("<Q", head, 32)[0]
    size, count = struct.unpack_from("<HH", head, 54)
    offsets = (start + index * size for index in range(count))
    kinds = [struct.unpack_from("<I", head, at)[0] for at in offsets if at + 4 <= len(head)]
    return bool(kinds) and _PT_INTERP not in kinds
