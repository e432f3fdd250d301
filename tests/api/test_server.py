"""The real server: a process of its own, gunicorn with gevent, real sockets."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from api import serving
from knify import errors, settings
from tests.api import running
from tests.api.parts import COMMAND, Worker, frames

CLIENTS = 40


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[running.Running]:
    with running.server(tmp_path, redis_url, KNIFY_MAX_BODY_BYTES="100000") as made:
        yield made


def follow(server: running.Running, job_id: str) -> str:
    with server.client.stream("GET", f"/jobs/{job_id}/output/stream") as answer:
        return "".join(answer.iter_text())


def test_many_clients_follow_one_job_over_real_sockets(server: running.Running) -> None:
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


def test_bodies_of_unknown_length_are_bounded_too(server: running.Running) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 10_000

    answer = server.client.post(
        "/jobs", content=endless(), headers={"Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE"), answer.text


def test_a_stop_takes_seconds_although_streams_are_open(server: running.Running) -> None:
    job_id = server.client.post("/jobs", json={"spec": COMMAND}).json()["job_id"]
    with server.client.stream("GET", f"/jobs/{job_id}/events/stream") as answer:
        next(answer.iter_text())
        start = time.monotonic()

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(60) == 0
        assert time.monotonic() - start < 30  # open streams would hold it for ever


def test_without_keys_only_loopback_is_served(tmp_path: Path) -> None:
    config = settings.load({"KNIFY_HOME": str(tmp_path), "KNIFY_HOST": "0.0.0.0"})

    with pytest.raises(errors.ConfigError, match="loopback"):
        serving.run(config, no_auth=True)

    assert [serving.is_loopback(h) for h in ("::1", "127.9.9.9", "localhost", "x")] == [
        True, True, True, False,
    ]  # fmt: skip
