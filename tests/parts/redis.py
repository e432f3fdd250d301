"""A real Redis-compatible server for tests, on a private Unix socket."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from knify.host import redis_server


@dataclass(slots=True)
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def stop(self) -> None:
        """End it at once: nothing in it is worth keeping."""
        self.process.kill()
        self.process.wait()


def start(folder: Path) -> Server:
    """Start a server whose socket and files are in `folder`; it answers on return."""
    binary = redis_server.find()
    assert binary is not None, "install the extra `embedded`, or a redis-server"
    socket = folder / "redis.sock"
    process = subprocess.Popen(
        [
            *(str(binary), "--port", "0", "--unixsocket", str(socket)),
            *("--save", "", "--appendonly", "no", "--dir", str(folder)),
        ],
        stdout=subprocess.DEVNULL,
    )
    url = f"unix://{socket}"
    deadline = time.monotonic() + 10
    while True:
        try:
            redis.Redis.from_url(url).ping()
            return Server(url, process)
        except redis.RedisError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)
