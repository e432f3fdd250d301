"""A listening socket inside another process's network namespace.

A thread enters the namespace, binds and ends there; it never comes back, so none of this process's
other threads can be left in a foreign namespace. The socket stays where it was made.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from pathlib import Path
from typing import Final

from knify import errors

_CLONE_NEWNET: Final = 0x40000000
_BACKLOG: Final = 128
_libc = ctypes.CDLL(None, use_errno=True)


def listen(handle: int, pid: int, start: int, port: int) -> socket.socket:
    """A socket on 127.0.0.1:`port` in the namespace of the process that the pidfd `handle` is of.

    SandboxGone when that process is not the one that was started at `start` (clock ticks since
    boot), or when it shares this process's own namespace. OSError when the port is taken, or when
    this process has no descriptor left.
    """
    if started(pid) != start:
        raise errors.SandboxGone("the sandbox's process is gone")
    if _inode(pid) == _inode(os.getpid()):
        raise errors.SandboxGone("that process has no network namespace of its own")
    made: list[socket.socket | Exception] = []
    thread = threading.Thread(target=_listen, args=(handle, port, made), name="netns")
    thread.start()
    thread.join()
    if isinstance(made[0], Exception):
        raise made[0]
    return made[0]


def started(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot; None when it is gone. OSError."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(rest[18])


def _listen(handle: int, port: int, made: list[socket.socket | Exception]) -> None:
    try:
        if _libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
        made.append(_bound(port))
    except Exception as failed:
        made.append(failed)


def _bound(port: int) -> socket.socket:
    # Named, for asyncio sends small pieces at once (TCP_NODELAY) only where it sees that it is TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _inode(pid: int) -> int:
    """Which network namespace a process is in. OSError; ProcessLookupError when it is gone."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except FileNotFoundError as gone:
        raise ProcessLookupError from gone
