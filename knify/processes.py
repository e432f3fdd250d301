"""Child processes of `knify up`: started, their pids written down, restarted when they die."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_LOG_BYTES = 20 * 1024**2
_STEADY = 10.0  # seconds after which a start counts as a success
_LONGEST_WAIT = 10.0
_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}

_libc = ctypes.CDLL(None)


@dataclass(slots=True)
class Part:
    """One part of the system, run as a process of its own."""

    name: str
    argv: list[str]
    env: dict[str, str]
    pid_file: Path
    log_file: Path
    folder: Path | None = None  # to run in; Podman leaves small files in its own
    patience: float = 10.0  # seconds between SIGTERM and SIGKILL
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = field(default=0.0)

    def start(self) -> None:
        """Run it, detached from the terminal's Ctrl-C, ending with this process at the latest."""
        stop_stale(self.pid_file, self.name, self.env["KNIFY_HOME"])
        self._end_leftovers()
        _rotate(self.log_file)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                env=self.env | {"KNIFY_PART": self.name},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_in_child,  # safe: this process has one thread
            )
        draft = self.pid_file.with_suffix(".new")  # whoever reads meets a whole number
        draft.write_text(f"{self.process.pid}\n")
        draft.replace(self.pid_file)
        self.started_at = time.monotonic()

    def died(self) -> int | None:
        """The exit code if it has ended since the last look; the next start is then planned."""
        if self.process is None or self.process.poll() is None:
            return None
        code, now = self.process.returncode, time.monotonic()
        self.process = None
        self.failures = 1 if now - self.started_at > _STEADY else self.failures + 1
        self.restart_at = now + min(_LONGEST_WAIT, 0.1 * 2**self.failures)
        return code

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        """Until it is gone; by SIGKILL when its patience is over."""
        if self.process is None:
            return
        try:
            self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self._end_leftovers()
        self.pid_file.unlink(missing_ok=True)

    def _end_leftovers(self) -> None:
        """Kill what a dead process of this part forked and left in its session.

        Podman forks for each user namespace that it makes; killed in that moment, it leaves a
        child that sleeps for ever on the locks of Podman's database, and all of Podman with it.
        What belongs to containers has sessions of its own.
        """
        try:
            session = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return
        for pid in _of_session(session):
            with contextlib.suppress(ProcessLookupError):
                _end(pid, self.name, self.env["KNIFY_HOME"], ((signal.SIGKILL, 5.0),))

    def tidy(self) -> None:
        """Keep the log file bounded."""
        _rotate(self.log_file)


def supervise(parts: list[Part], say: Callable[[str], None]) -> None:
    """Restart what dies, until SIGTERM or SIGINT. The signals must be blocked (`block`)."""
    while True:
        planned = [part.restart_at for part in parts if part.process is None]
        patience = min(planned) - time.monotonic() if planned else 60.0
        caught = signal.sigtimedwait(_SIGNALS, max(patience, 0.01))
        if caught is not None and caught.si_signo != signal.SIGCHLD:
            return
        for part in parts:
            code = part.died()
            if code is not None:
                say(f"{part.name} ended with {code}; starting it again, see {part.log_file}")
            if part.process is None and time.monotonic() >= part.restart_at:
                part.start()
            part.tidy()


def block() -> None:
    """Let `supervise` receive the signals, and nothing else be interrupted by them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def stop(parts: list[Part]) -> None:
    """End them, those that were started last first; what comes in one list goes together."""
    for part in parts:
        part.ask_to_stop()
    for part in parts:
        part.wait()


def stop_stale(pid_file: Path, name: str, home: str) -> None:
    """End a process that an earlier `knify up` of this home left behind."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        _end(pid, name, home, ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)))


def _end(pid: int, name: str, home: str, signals: tuple[tuple[int, float], ...]) -> None:
    """Send these, and give each its seconds, if it is a process of this part. OSError: gone."""
    handle = os.pidfd_open(pid)
    try:
        for number, seconds in signals if _is_of(pid, name, home) else ():
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], seconds)[0]:
                return
    finally:
        os.close(handle)


def _is_of(pid: int, name: str, home: str) -> bool:
    """Whether it is a process of this part of this home."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return {f"KNIFY_PART={name}".encode(), f"KNIFY_HOME={home}".encode()} <= set(
        environ.split(b"\0")
    )


def _of_session(session: int) -> list[int]:
    """Living processes of a session, by /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found.append(int(stat.parent.name))
    return found


def _in_child() -> None:
    """Between fork and exec: receive signals again, and end when the parent dies."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _rotate(log_file: Path) -> None:
    """Move a long log aside. The writer appends, so it may be truncated under it."""
    try:
        if log_file.stat().st_size < _LOG_BYTES:
            return
    except OSError:
        return
    log_file.with_suffix(".log.1").write_bytes(log_file.read_bytes())
    os.truncate(log_file, 0)
