"""The whole of Knify as a user starts it: `knify up` in a home of its own, on a free port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from knify.client import Client
from knify.host import containers_conf, images, purge
from knify.settings import load

T = TypeVar("T")
START_SECONDS = 60.0


def eventually(look: Callable[[], T | None], *, seconds: float = 30.0) -> T:
    """The first truthy answer of `look`; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.02)
    return found


class Stack:
    """A running installation."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")}
        self._env |= {"KNIFY_HOME": str(home), "KNIFY_PORT": str(self.port)} | settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """`knify up`; jobs can be submitted on return."""
        log = (self.home.parent / f"{self.home.name}.log").open("ab")
        argv = [sys.executable, "-m", "knify.cli.main", "up"]
        self._process = subprocess.Popen(argv, env=self._env, stdout=log, stderr=log)
        log.close()
        eventually(self._is_ready, seconds=START_SECONDS)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        return b"ready on" in self.said()[-2_000:] and (self.home / "admin.key").exists()

    def said(self) -> bytes:
        """What `knify up` printed since the log was last cleared."""
        log = self.home.parent / f"{self.home.name}.log"
        return log.read_bytes() if log.exists() else b""

    def client(self) -> Client:
        """The SDK with the admin key."""
        return Client(self.url, (self.home / "admin.key").read_text().strip())

    def pid(self, part: str) -> int:
        """The process id of one part."""
        return int((self.home / "run" / f"{part}.pid").read_text())

    def kill(self, part: str) -> None:
        """kill -9 of one part; `knify up` starts it again."""
        os.kill(self.pid(part), signal.SIGKILL)

    def kill_all(self) -> None:
        """kill -9 of `knify up` and all its parts, as a power cut would."""
        assert self._process is not None
        self._process.kill()
        for part in ("api", "worker", "beat", "redis", "podman"):
            try:
                self.kill(part)
            except ProcessLookupError:
                pass
        self._process.wait()
        self._forget_log()

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(60)
        self._forget_log()
        return code

    def extra_worker(self) -> subprocess.Popen[bytes]:
        """Another worker process on this node, which nobody restarts."""
        argv = [sys.executable, "-m", "workers.main", "worker"]
        log = (self.home / "logs" / "extra-worker.log").open("ab")
        with log:
            return subprocess.Popen(argv, env=self._env, stdout=log, stderr=log)

    def _forget_log(self) -> None:
        (self.home.parent / f"{self.home.name}.log").unlink(missing_ok=True)

    def settings(self) -> dict[str, str]:
        """Its environment's KNIFY_ settings."""
        return {k: v for k, v in self._env.items() if k.startswith("KNIFY_")}

    def purge(self) -> None:
        """Remove what it made in Podman, and its home."""
        marker = self.home / "installation"
        if marker.exists():
            conf = containers_conf.path(load(self.settings()))
            purge.purge(marker.read_text().strip(), conf)
        shutil.rmtree(self.home.parent, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        """Whether `knify up` runs."""
        return self._process is not None and self._process.poll() is None


@contextmanager
def running(**settings: str) -> Iterator[Stack]:
    """A stack that leaves nothing behind. Its home has a short path: sockets lie in it."""
    assert images.exists(load({}).base_image), "run `make setup` first"
    stack = Stack(Path(tempfile.mkdtemp(prefix="kn-")) / "h", **settings)
    try:
        stack.start()
        yield stack
    finally:
        if stack.is_running:
            stack.stop()
        stack.purge()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
