"""The shell that every sandbox starts with: a static busybox and our scripts, in one volume."""

from __future__ import annotations

import hashlib
import subprocess
from importlib import resources
from pathlib import Path

from knify import errors, ids
from knify.host import seccomp

_SCRIPTS = ("supervisor.sh", "launch.sh")


def contents(busybox: Path) -> dict[str, tuple[bytes, int]]:
    """Files of the volume: name -> bytes and mode. Raises ConfigError for a dynamic busybox."""
    program = _static(busybox)
    folder = resources.files("knify.sandbox") / "shell"
    files = {name: ((folder / name).read_bytes(), 0o644) for name in _SCRIPTS}
    files["busybox"] = (program, 0o755)
    profile = seccomp.render()
    if profile is not None:
        files["seccomp.json"] = (profile.encode(), 0o644)
    return files


def digest(files: dict[str, tuple[bytes, int]]) -> str:
    """Eight hex digits that change with any of the files."""
    total = hashlib.sha256()
    for name, (content, _) in sorted(files.items()):
        total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()[:8]


def fill(root: Path, files: dict[str, tuple[bytes, int]]) -> None:
    """Write the files below `root`; two processes may do so at once, since both write the same."""
    if (root / ".ready").exists():
        return
    for name, (content, mode) in files.items():
        fresh = root / f".{ids.nonce()}"
        fresh.write_bytes(content)
        fresh.chmod(mode)
        fresh.replace(root / name)
    (root / "bin").mkdir(exist_ok=True)
    for applet in _applets(root / "busybox"):
        try:
            (root / "bin" / applet).symlink_to("../busybox")
        except FileExistsError:
            pass
    (root / ".ready").touch()


def _static(busybox: Path) -> bytes:
    """The program, if it is an ELF file that asks for no interpreter (program header 3)."""
    try:
        content = busybox.read_bytes()
    except OSError as failed:
        raise errors.ConfigError(f"no busybox at {busybox}: install busybox-static") from failed
    if content[:5] != b"\x7fELF\x02" or content[5] != 1:
        raise errors.ConfigError(f"{busybox} is not a 64-bit program")
    table = int.from_bytes(content[32:40], "little")
    size, count = (int.from_bytes(content[at : at + 2], "little") for at in (54, 56))
    headers = [table + size * number for number in range(count)]
    if any(int.from_bytes(content[at : at + 4], "little") == 3 for at in headers):
        raise errors.ConfigError(f"{busybox} is linked dynamically: install busybox-static")
    return content


def _applets(busybox: Path) -> list[str]:
    listed = subprocess.run([str(busybox), "--list"], capture_output=True, check=True, timeout=10)
    return [name for name in listed.stdout.decode().split() if "/" not in name]
