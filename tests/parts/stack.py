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

from knify import settings as settings_module
from knify.client import Client
from knify.host import containers_conf, images, purge

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

    def __init__(self, home: Path, *options: str, **settings: str) -> None:
        """`options` of `knify up`; `settings` for its environment."""
        self.home = home
        self._options = options
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")}
        self._env |= {"KNIFY_HOME": str(home), "KNIFY_PORT": str(self.port)} | settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """`knify up`; jobs can be submitted on return."""
        log = (self.home.parent / f"{self.home.name}.log").open("ab")
        argv = [sys.executable, "-m", "knify.cli.main", "up", *self._options]
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
        for part in ("api", "gateway", "worker", "beat", "redis", "podman"):
            try:
                self.kill(part)
            except (ProcessLookupError, FileNotFoundError):  # a Podman of its own is not a part
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

    def extra_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        """Another worker process, which nobody restarts: on this node, unless `settings` differ."""
        argv = [sys.executable, "-m", "workers.main", "worker"]
        log = (self.home / "logs" / "extra-worker.log").open("ab")
        with log:
            return subprocess.Popen(argv, env=self._env | settings, stdout=log, stderr=log)

    def _forget_log(self) -> None:
        (self.home.parent / f"{self.home.name}.log").unlink(missing_ok=True)

    @property
    def settings(self) -> settings_module.Settings:
        """What it was started with."""
        return settings_module.load(self._env)

    @property
    def containers_conf(self) -> Path:
        """What its Podman service was started with."""
        return containers_conf.path(self.settings)

    def processes(self) -> dict[int, str]:
        """Process ids of all parts and their children, with names such as `api`."""
        assert self._process is not None
        children, parts = _children(), self.settings.run_dir.glob("*.pid")
        names = {int(file.read_text()): file.stem for file in parts}
        found = {self._process.pid: "up"}
        waiting = [(pid, names.get(pid, "other")) for pid in children.get(self._process.pid, ())]
        while waiting:
            pid, name = waiting.pop()
            found[pid] = name
            waiting += [(child, f"{name} (child)") for child in children.get(pid, ())]
        return found

    def purge(self) -> None:
        """Remove what it made in Podman, and its home."""
        marker = self.home / "installation"
        if marker.exists():
            purge.purge(marker.read_text().strip(), self.containers_conf)
        shutil.rmtree(self.home.parent, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        """Whether `knify up` runs."""
        return self._process is not None and self._process.poll() is None


@contextmanager
def running(*options: str, **settings: str) -> Iterator[Stack]:
    """A stack that leaves nothing behind. Its home has a short path: sockets lie in it."""
    with prepared(lambda home: None, *options, **settings) as stack:
        yield stack


@contextmanager
def prepared(prepare: Callable[[Path], None], *options: str, **settings: str) -> Iterator[Stack]:
    """The same; `prepare` gets its home before the start."""
    assert images.exists(settings_module.load({}).base_image), "run `make setup` first"
    stack = Stack(Path(tempfile.mkdtemp(prefix="kn-")) / "h", *options, **settings)
    try:
        prepare(stack.home)
        stack.start()
        yield stack
    finally:
        if stack.is_running:
            stack.stop()
        stack.purge()


def _children() -> dict[int, list[int]]:
    """All processes by their parent's id."""
    found: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
