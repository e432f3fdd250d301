"""Children of `knify up` that leave children of their own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from knify import processes

#: Forks a child that sleeps for ever, as Podman does for a moment, and tells its pid.
FORKING = (
    "import os, sys, time\n"
    "pid = os.fork()\n"
    "if pid: open(sys.argv[1], 'w').write(str(pid))\n"
    "time.sleep(600)\n"
)


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_what_a_killed_part_forked_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    told = tmp_path / "child"
    part = processes.Part(
        "podman",
        [sys.executable, "-c", FORKING, str(told)],
        dict(os.environ) | {"KNIFY_HOME": str(tmp_path)},
        tmp_path / "podman.pid",
        tmp_path / "podman.log",
    )
    part.start()
    try:
        while not told.exists() or not told.read_text():
            time.sleep(0.01)
        first = int(told.read_text())
        assert part.process is not None
        part.process.send_signal(signal.SIGKILL)
        part.process.wait()
        assert lives(first)
        assert part.died() is not None

        told.unlink()
        part.start()

        assert not lives(first)
        while not told.exists() or not told.read_text():
            time.sleep(0.01)
        second = int(told.read_text())
    finally:
        part.ask_to_stop()
        part.wait()
    assert not lives(second)
