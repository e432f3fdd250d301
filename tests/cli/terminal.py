"""A command in a terminal of its own: what it shows there, and keys pressed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0  # seconds; a busy machine starts Python slowly
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Terminal:
    """One of 80 columns, and the command in it."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master, self._process = master, process
        self.raw = ""

    @property
    def text(self) -> str:
        """What was shown so far, without colours and moves."""
        return _SEQUENCE.sub("", self.raw).replace("\r\n", "\n")

    def until(self, said: str) -> None:
        """Read on until this was shown."""
        deadline = time.monotonic() + DEADLINE
        while said not in self.text:
            assert time.monotonic() < deadline, f"{said!r} was not shown in time: {self.text!r}"
            assert self._more(), f"it ended without {said!r}: {self.text!r}"

    def press(self, key: bytes) -> None:
        """Press a key, such as Ctrl-C."""
        os.write(self._master, key)

    def end(self) -> int:
        """Read all that comes; the exit code."""
        deadline = time.monotonic() + DEADLINE
        while self._more():
            assert time.monotonic() < deadline, f"it did not end in time: {self.text!r}"
        return self._process.wait(DEADLINE)

    def _more(self) -> bool:
        """Read a piece, if one comes within a second; False at the end."""
        if not select.select([self._master], [], [], 1.0)[0]:
            return True
        try:
            piece = os.read(self._master, 65_536)
        except OSError:  # Linux says so when nobody has the other end any more
            return False
        self.raw += piece.decode()
        return bool(piece)


@contextlib.contextmanager
def running(*command: str, cwd: Path, **environ: str) -> Iterator[Terminal]:
    """`knify …`, or `-c` and some Python, in a new terminal; killed at the end of the block."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    known = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    env = known | {"TERM": "xterm", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"} | environ
    program = command if command[0] == "-c" else ("-m", "knify.cli.main", *command)
    argv = [sys.executable, *program]
    process = subprocess.Popen(
        argv, stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=env, preexec_fn=_own_terminal
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _own_terminal() -> None:
    """Keys of the terminal reach the command, also when we were started in the background."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
