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

_CGROUPS = (Path("/sys/fs/cgroup"), _INIT_ROOT / "sys/fs/cgroup")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 512
_OWN = 3  # processes of ours in a sandbox: init, supervisor, its reader of orders


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
    except OSError:
        return False
    return container in groups and _state(pid) not in ("", "Z", "X")


def is_conmon(pid: int, container: str) -> bool:
    """Whether `pid` is a live process that was told to watch this container."""
    try:
        return container.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()  # empty: a zombie
    except OSError:
        return False


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
            _unfreeze(pid)
            return bool(select.select([handle], [], [], _DEATH)[0])
        return True
    except ProcessLookupError:
        return True
    except PermissionError:  # a worker in a container without CAP_KILL
        return False
    finally:
        os.close(handle)


def _unfreeze(pid: int) -> None:
    """A frozen process of cgroup v1 dies only when it is thawed; in v2 it dies at once."""
    try:
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for root in _CGROUPS if controllers == "freezer" else ():
                file = root / f"freezer{path}" / "freezer.state"
                if file.exists():
                    file.write_text("THAWED")
                    return
    except OSError:  # dead, or not ours to write
        pass


def children(pid: int) -> list[int]:
    """Live children of all threads of a process, the eldest first."""
    found: list[int] = []
    for file in sorted(Path(f"/proc/{pid}/task").glob("*/children")):
        try:
            found += [int(word) for word in file.read_text().split()]
        except OSError:  # ended meanwhile
            continue
    return [child for child in found if _state(child) not in ("", "Z", "X")]


def crowded(pid: int) -> bool:
    """Whether more runs below a container's init than the supervisor and its reader of orders.

    Without an init of its own the supervisor is the init.
    """
    waiting, count = [pid], 0
    while waiting and count <= _OWN:
        waiting += children(waiting.pop())
        count += 1
    return count > _OWN


def wake(pid: int, container: str) -> None:
    """SIGCONT for a supervisor that its job has stopped; `pid` is of the container's init."""
    eldest = [pid]
    for _ in range(_OWN - 1):  # the supervisor, and the reader of orders: its eldest child
        eldest += children(eldest[-1])[:1]
    for one in eldest:
        if _state(one) == "T" and alive(one, container):
            try:
                os.kill(one, signal.SIGCONT)
            except OSError:  # ended, or not ours to wake
                continue


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


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


def cgroup_file(below: Path) -> str:
    """A file's text below the cgroups that this process or the host's init sees. OSError."""
    for root in _CGROUPS[:-1]:
        try:
            return (root / below).read_text()
        except OSError:
            continue
    return (_CGROUPS[-1] / below).read_text()


def _counter(below: str) -> int | None:
    for root in _CGROUPS:
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


def give(folder: Path, uid: int, gid: int) -> None:
    """Give a tree to these ids, the folder itself last; links are given and never followed.

    Modes and times stay. SandboxError for folders nested deeper than anyone needs.
    """
    handle = os.open(folder, _FOLDER)
    try:
        _give(handle, uid, gid, _DEEPEST)
        os.fchown(handle, uid, gid)
    finally:
        os.close(handle)


def _give(handle: int, uid: int, gid: int, depth: int) -> None:
    if depth == 0:
        raise errors.SandboxError(f"folders are nested deeper than {_DEEPEST}")
    with os.scandir(handle) as rows:
        for row in rows:
            seen = row.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                below = os.open(row.name, _FOLDER, dir_fd=handle)
                try:
                    _give(below, uid, gid, depth - 1)
                finally:
                    os.close(below)
            if (seen.st_uid, seen.st_gid) != (uid, gid):
                os.chown(row.name, uid, gid, dir_fd=handle, follow_symlinks=False)


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
