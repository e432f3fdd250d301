"""What the driver reads of the host directly: Podman's folders, processes and cgroups."""

from __future__ import annotations

import os
import re
import select
import signal
import stat
from pathlib import Path

from knify import errors

_DEATH = 5.0  # seconds that a killed container may take
_INIT_ROOT = Path("/proc/1/root")  # the host's files when we run in a container with `pid: host`


def visible(path: str) -> Path:
    """A path that Podman named, as this process can reach it."""
    for candidate in (Path(path), _INIT_ROOT / path.lstrip("/")):
        try:
            candidate.stat()
        except OSError:  # not there, or the host's init lets nobody look
            continue
        return candidate
    raise errors.SandboxError("Podman's storage is not visible to this process")


def alive(pid: int, container: str) -> bool:
    """Whether `pid` is a live process of this container: Podman may say so after conmon died."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return container in groups and state not in "ZX"


def parent(pid: int) -> int | None:
    """The process that hears of this one's end."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def kill(pid: int, container: str) -> bool:
    """SIGKILL to the container's init; False when it may still live: that is left to Podman."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:  # a kernel or a seccomp profile without pidfds
        return False
    try:
        if alive(pid, container):  # the handle might be of a process that reused the pid
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            return bool(select.select([handle], [], [], _DEATH)[0])
        return True
    except ProcessLookupError:
        return True
    except PermissionError:  # a worker in a container without CAP_KILL
        return False
    finally:
        os.close(handle)


def orders(pid: int) -> int:
    """A descriptor that writes to the supervisor's fd 3; `pid` is of the container's init.

    The supervisor is the init itself or its eldest child; orphans come behind it.
    """
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError as failed:
        raise errors.SandboxError("the sandbox's processes are not visible here") from failed
    for candidate in (str(pid), *children[:1]):
        try:
            handle = os.open(f"/proc/{candidate}/fd/3", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        if stat.S_ISFIFO(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
    raise errors.SandboxError("the sandbox's supervisor takes no orders")


def oom_kills(pid: int) -> int | None:
    """How many processes of this pid's cgroup the kernel has killed for memory; None: unknown."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return _counter(f"memory{path}/memory.oom_control")
    unified = [line.split(":", 2)[2] for line in groups if line.startswith("0::")]
    return _counter(f"{unified[0].lstrip('/')}/memory.events") if unified else None


def _counter(below: str) -> int | None:
    for root in (Path("/sys/fs/cgroup"), _INIT_ROOT / "sys/fs/cgroup"):
        try:
            found = re.search(r"^oom_kill (\d+)$", (root / below).read_text(), re.M)
        except OSError:
            continue
        if found:
            return int(found[1])
    return None


def mapped(mapping: list[str] | None, inside: int) -> int:
    """The host's id of one inside, by Podman's `INSIDE:HOST:SIZE` lines."""
    for line in mapping or []:
        start, host, size = (int(number) for number in line.split(":"))
        if start <= inside < start + size:
            return host + inside - start
    return inside


def own(folder: Path, uid: int, gid: int, mode: int) -> None:
    """Give a folder that no container has seen yet to these ids."""
    handle = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def mountpoints(upper: Path, paths: list[str], root: tuple[int, int]) -> None:
    """Make places for tmpfs in a fresh container's writable layer, open to all.

    runc gives a tmpfs the mode of the folder below it. A folder that the image lacks is made by
    runc at the first start, as root's own, and so the second start's tmpfs is closed to the agent.
    """
    for path in paths:
        here = upper
        for name in path.strip("/").split("/"):
            here = here / name
            if not here.is_dir():
                here.mkdir()
                own(here, *root, 0o755)
        own(here, *root, 0o1777)
