"""A build that is told to end leaves no processes behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from knify.host import bootstrap, interrupts
from tests.parts.stack import eventually


def test_a_build_that_is_told_to_end_ends_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    producer = ["sh", "-c", f"trap 'touch {tmp_path}/told; exit 1' TERM; sleep 60 & "
                f"echo $$ $! >{pids}.new; mv {pids}.new {pids}; wait"]  # fmt: skip
    consumer = ["sh", "-c", f"until [ -e {pids} ]; do :; done; kill -TERM {os.getpid()}; sleep 60"]

    with pytest.raises(SystemExit) as ended, interrupts.unwinding():
        bootstrap._pipe(producer, consumer, lambda said: None)

    assert ended.value.code == 128 + signal.SIGTERM
    assert (tmp_path / "told").exists()
    for pid in pids.read_text().split():
        assert eventually(lambda pid=pid: not _lives(pid), seconds=10)
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
