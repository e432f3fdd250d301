"""Whoever stops listening leaves nothing open."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from knify.client import AsyncClient, Client
from tests.client import scripted

STREAM = "/jobs/job_1/events/stream"


def open_connections(client: Any) -> int:
    """Those that are at work, not those that wait to be used again."""
    pool = client._http._transport._pool
    return sum(not connection.is_idle() for connection in pool.connections)


def test_a_stream_that_is_left_is_closed(server: scripted.Server) -> None:
    server.on_stream(STREAM, [{"stage": "x"}] * 3)

    with Client(server.url) as client:
        for _ in client.stream_events("job_1"):
            break

        assert open_connections(client) == 0


def test_a_cancelled_wait_leaves_no_connection(server: scripted.Server) -> None:
    server.on_job("job_1", "running")

    async def main() -> int:
        async with AsyncClient(server.url) as client:
            waiting = asyncio.create_task(client.wait("job_1"))
            while not listened.is_set():
                await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            return open_connections(client)

    with scripted.silence(server, STREAM) as listened:
        assert asyncio.run(main()) == 0


def test_more_can_wait_at_once_than_a_pool_has_by_default(server: scripted.Server) -> None:
    many = 110
    all_listen = threading.Barrier(many)
    server.on_job("job_1", "running")

    def script(request: scripted.Request) -> scripted.Answer:
        all_listen.wait(60)
        server.on_job("job_1", "completed")
        server.skip("GET", "/jobs/job_1")
        return scripted.Answer(status=204)

    server.on_call("GET", STREAM, script)

    async def main() -> set[str]:
        async with AsyncClient(server.url) as client:
            jobs = await asyncio.gather(*(client.wait("job_1") for _ in range(many)))
            return {job.status for job in jobs}

    assert asyncio.run(main()) == {"completed"}
