"""The real server in a process of its own, with a Redis of its own; jobs end at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.parts import redis

START_SECONDS = 60


@dataclass(frozen=True)
class Live:
    """Where it is, and an administrator's key."""

    port: int
    key: str

    @property
    def url(self) -> str:
        """Of its root."""
        return f"http://127.0.0.1:{self.port}"

    def raw(self, request: bytes) -> bytes:
        """All that it answers on one connection until it closes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            pieces = []
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65_536):
                    pieces.append(piece)
        return b"".join(pieces)


@contextlib.contextmanager
def serve() -> Iterator[Live]:
    """Until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="knify-live-"))
    server = redis.start(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environ = {
        "KNIFY_HOME": str(folder / "home"),
        "KNIFY_REDIS_URL": server.url,
        "KNIFY_PORT": str(port),
        "KNIFY_MAX_BODY_BYTES": "100000",
    }
    (folder / "home").mkdir()
    log = folder / "api.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.openapi.ending_server"],
            env=os.environ | environ, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}/", process, log)
        yield Live(port, (folder / "home" / "admin.key").read_text().strip())
    finally:
        process.kill()
        process.wait()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            assert httpx.get(url, timeout=5).status_code == 200
            return
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
