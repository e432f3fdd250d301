"""Listening in another process's network namespace."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify import errors
from knify.gateway import netns
from tests.parts.apart import namespace

PORT = 8119
HERE = Path("/proc/self/ns/net")


@contextlib.contextmanager
def apart() -> Iterator[int]:
    """A process in a network namespace of its own; its pid."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    with namespace() as pid:
        yield pid


def test_a_socket_is_made_there_and_this_process_stays_where_it_is() -> None:
    here = HERE.readlink()
    with apart() as pid, contextlib.ExitStack() as closing:
        handle = os.pidfd_open(pid)
        closing.callback(os.close, handle)

        closing.enter_context(netns.listen(handle, pid, netns.started(pid) or 0, PORT))

        assert HERE.readlink() == here
        there = subprocess.run(
            ["nsenter", "-t", str(pid), "-n", "cat", "/proc/net/tcp"],
            capture_output=True,
            check=True,
        )
        assert b"0100007F:1FB7" in there.stdout
        with pytest.raises(OSError, match="in use"):
            netns.listen(handle, pid, netns.started(pid) or 0, PORT)


def test_a_process_that_is_another_one_by_now_is_left_alone() -> None:
    with apart() as pid:
        handle = os.pidfd_open(pid)
        with pytest.raises(errors.SandboxGone):
            netns.listen(handle, pid, (netns.started(pid) or 0) + 1, PORT)
        os.close(handle)


def test_nothing_listens_in_this_processs_own_namespace() -> None:
    handle = os.pidfd_open(os.getpid())
    with pytest.raises(errors.SandboxGone, match="of its own"):
        netns.listen(handle, os.getpid(), netns.started(os.getpid()) or 0, PORT)
    os.close(handle)
