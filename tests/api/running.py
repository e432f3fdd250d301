"""The real server in a process of its own: gunicorn with gevent, real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from knify import core as core_module
from knify import hints, settings
from knify.core import Core
from knify.services import keys


@dataclass(frozen=True)
class Running:
    """A server, its core as this process sees it, and a client with an admin key."""

    process: subprocess.Popen[bytes]
    url: str
    core: Core
    client: httpx.Client


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def server(
    home: Path, redis_url: str, run: Sequence[str] = ("-m", "api.server"), **more: str
) -> Iterator[Running]:
    """One in `home`, which Python runs as `run` says; `more` are settings."""
    environ = {
        "KNIFY_HOME": str(home),
        "KNIFY_REDIS_URL": redis_url,
        "KNIFY_PORT": str(free_port()),
    } | more
    core = core_module.connect(settings.load(environ), hints.RecordedHints())
    key = keys.create(core, "default", scopes=("admin",)).text
    url = f"http://127.0.0.1:{environ['KNIFY_PORT']}"
    with (home / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *run], env=os.environ | environ, stdout=log, stderr=log
        )
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)
    try:
        wait_until_it_serves(client, process, home / "api.log")
        yield Running(process, url, core, client)
    finally:
        process.kill()
        process.wait()


def wait_until_it_serves(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert client.get("/").status_code == 200
            return
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
