"""What comes from one sandbox lets everybody else run, however much is buffered of it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from knify.gateway import line as lines
from knify.gateway import proxy
from knify.gateway.turns import EVENTS, Turns
from tests.gateway import porch as porches

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_of_many_connections_of_a_sandbox_one_gets_on_in_a_round() -> None:
    done = 0

    async def connection(turns: Turns) -> None:
        nonlocal done
        for _ in range(10):
            await turns.next()
            done += 1

    async def scenario() -> list[int]:
        turns, steps = Turns(), []
        work = [asyncio.create_task(connection(turns)) for _ in range(50)]
        while not all(task.done() for task in work):
            before = done
            await asyncio.sleep(0)
            steps.append(done - before)
        return steps

    steps = asyncio.run(scenario())

    assert sum(steps) == 500 and max(steps) == 1


async def _read(_: object, line: lines.Line) -> None:
    await line.request()
    size = sum([len(piece) async for piece in line.body()])
    await line.answer(200, f"{size}")


@pytest.mark.parametrize(
    ("chunks", "status"), [(b"1\r\n \r\n" * 3_000, b"200"), (b"1\r\n \r\n" * 5_000, b"400")]
)
def test_a_body_in_very_many_tiny_chunks_is_refused(
    monkeypatch: pytest.MonkeyPatch, chunks: bytes, status: bytes
) -> None:
    with porches.running(monkeypatch) as porch:
        port = porch.open(_read)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sandbox:
            sandbox.sendall(HEAD + chunks + b"0\r\n\r\n")
            assert sandbox.recv(100).split()[1] == status


def test_large_chunks_may_be_as_many_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = b"64\r\n" + b" " * 100 + b"\r\n"
    with porches.running(monkeypatch) as porch:
        port = porch.open(_read)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sandbox:
            sandbox.sendall(HEAD + chunk * 6_000 + b"0\r\n\r\n")
            answer = b"".join(iter(lambda: sandbox.recv(1_000), b""))

    assert answer.endswith(b"600000")


async def _reading(what: str) -> int:
    """Rounds of the loop while 3,000 chunks are read that are buffered already."""
    chunks, rounds = b"1\r\n \r\n" * 3_000 + b"0\r\n\r\n", 0
    reader = asyncio.StreamReader()
    here, there = socket.socketpair()
    with there:
        _, writer = await asyncio.open_connection(sock=here)
        line = lines.Line(reader, writer, Turns())
        reader.feed_data(HEAD)
        request = await line.request()

        async def read() -> None:
            reader.feed_data(chunks if what == "body" else ANSWER + chunks)
            if what == "body":
                assert len([piece async for piece in line.body()]) == 3_000
            else:
                await proxy._relay(line, reader, request)

        task = asyncio.create_task(read())
        while not task.done():
            await asyncio.sleep(0)
            rounds += 1
        await task
        writer.close()
    return rounds


@pytest.mark.parametrize("what", ["body", "answer"])
def test_what_is_buffered_is_read_in_many_rounds(what: str) -> None:
    assert asyncio.run(_reading(what)) > 3_000 // EVENTS
