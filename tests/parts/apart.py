"""A process in a network namespace of its own, as a sandbox's is."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def namespace() -> Iterator[int]:
    """Its pid; root only."""
    script = "ip link set lo up 2>/dev/null; echo ready; exec sleep 600"
    process = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()
