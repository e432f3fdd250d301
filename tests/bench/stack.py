"""`knify up` in a home of its own, for measuring; nothing of it is left afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knify import settings as settings_module
from knify.client import Client
from knify.host import containers_conf, podman

START_SECONDS = 60.0
STOP_SECONDS = 60.0


class Stack:
    """A running installation."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._url = f"http://127.0.0.1:{_free_port()}"
        own = {"KNIFY_HOME": str(home), "KNIFY_PORT": self._url.rpartition(":")[2]}
        env = {name: text for name, text in os.environ.items() if not name.startswith("KNIFY_")}
        self.settings = settings_module.load(env | own)
        with (home / "up.log").open("wb") as log:
            argv = [sys.executable, "-m", "knify.cli.main", "up"]
            self._up = subprocess.Popen(argv, env=env | own, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until jobs can be submitted; RuntimeError with what it said instead."""
        deadline = time.monotonic() + START_SECONDS
        while "ready on" not in (said := (self.home / "up.log").read_text()):
            if self._up.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"knify up is not ready: {said}")
            time.sleep(0.05)

    def client(self) -> Client:
        """The SDK with the admin key."""
        return Client(self._url, (self.home / "admin.key").read_text().strip())

    @property
    def containers_conf(self) -> Path:
        """What its Podman service was started with."""
        return containers_conf.path(self.settings)

    def processes(self) -> dict[int, str]:
        """Process ids of all parts and their children, with names such as `api` and `api/2`."""
        children = _children()
        found, names = {self._up.pid: "up"}, {}
        for file in self.settings.run_dir.glob("*.pid"):
            names[int(file.read_text())] = file.stem
        waiting = [(pid, names.get(pid, "other")) for pid in children.get(self._up.pid, ())]
        while waiting:
            pid, name = waiting.pop()
            found[pid] = name
            waiting += [(child, f"{name} (child)") for child in children.get(pid, ())]
        return found

    def stop(self) -> None:
        """Stop it and remove its sandboxes."""
        if self._up.poll() is None:
            self._up.send_signal(signal.SIGINT)
        self._up.wait(STOP_SECONDS)
        marker = self.home / "installation"
        if marker.exists():
            _remove(f"label=knify.installation={marker.read_text().strip()}", self.containers_conf)


@contextmanager
def running() -> Iterator[Stack]:
    """A stack that is ready. The path is short: sockets lie in it."""
    home = Path(tempfile.mkdtemp(prefix="kb-", dir="/tmp"))
    stack = Stack(home)
    try:
        stack.wait()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def _remove(label: str, conf: Path) -> None:
    found = podman.call("ps", "--all", "--quiet", "--filter", label, conf=conf).out.split()
    if found:
        podman.call("rm", "--force", "--time", "0", *found, conf=conf, timeout=300)
    found = podman.call("volume", "ls", "--quiet", "--filter", label, conf=conf).out.split()
    if found:
        podman.call("volume", "rm", "--force", *found, conf=conf, timeout=300)


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
