"""The real server: a process of its own, gunicorn with gevent, real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api import serving
from knify import core as core_module
from knify import errors, hints, settings
from knify.core import Core
from knify.services import keys
from tests.api.parts import COMMAND, Worker, frames

CLIENTS = 40


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    url: str
    core: Core
    client: httpx.Client


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[Running]:
    environ = {
        "KNIFY_HOME": str(tmp_path),
        "KNIFY_REDIS_URL": redis_url,
        "KNIFY_PORT": str(free_port()),
        "KNIFY_MAX_BODY_BYTES": "100000",
    }
    core = core_module.connect(settings.load(environ), hints.RecordedHints())
    key = keys.create(core, "default", scopes=("admin",)).text
    url = f"http://127.0.0.1:{environ['KNIFY_PORT']}"
    with (tmp_path / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.server"], env=os.environ | environ, stdout=log, stderr=log
        )
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)
    try:
        wait_until_it_serves(client, process, tmp_path / "api.log")
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


def follow(server: Running, job_id: str) -> str:
    with server.client.stream("GET", f"/jobs/{job_id}/output/stream") as answer:
        return "".join(answer.iter_text())


def test_many_clients_follow_one_job_over_real_sockets(server: Running) -> None:
    job_id = server.client.post("/jobs", json={"spec": COMMAND}).json()["job_id"]
    worker = Worker(server.core)
    with ThreadPoolExecutor(CLIENTS) as pool:
        limits = httpx.Limits(max_connections=None)
        server.client._transport = httpx.HTTPTransport(limits=limits)
        followers = [pool.submit(follow, server, job_id) for _ in range(CLIENTS)]
        x = worker.run(job_id)
        for i in range(20):
            x = worker.lines(x, f"line {i}", events=2)
        worker.finish(x)
        texts = [follower.result(20) for follower in followers]

    assert {len(frames(text)) for text in texts} == {41}
    assert len({tuple(name for name, _ in frames(text)) for text in texts}) == 1


def test_bodies_of_unknown_length_are_bounded_too(server: Running) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 10_000

    answer = server.client.post(
        "/jobs", content=endless(), headers={"Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE"), answer.text


def test_a_stop_takes_seconds_although_streams_are_open(server: Running) -> None:
    job_id = server.client.post("/jobs", json={"spec": COMMAND}).json()["job_id"]
    with server.client.stream("GET", f"/jobs/{job_id}/events/stream") as answer:
        next(answer.iter_text())
        start = time.monotonic()

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(12) == 0
        assert time.monotonic() - start < 10


def test_without_keys_only_loopback_is_served(tmp_path: Path) -> None:
    config = settings.load({"KNIFY_HOME": str(tmp_path), "KNIFY_HOST": "0.0.0.0"})

    with pytest.raises(errors.ConfigError, match="loopback"):
        serving.run(config, no_auth=True)

    assert [serving.is_loopback(h) for h in ("::1", "127.9.9.9", "localhost", "x")] == [
        True, True, True, False,
    ]  # fmt: skip
