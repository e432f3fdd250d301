"""Many clients of one stream on the real server: all are served together, each gets every line."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api import lines, turns
from api.pages import Page, Position
from knify.services import jobs
from tests.api import running
from tests.api.parts import Worker, frames

LONG = "x" * 20_000
MANY = 600  # of those are more than a connection's buffers hold


@pytest.fixture
def api(tmp_path: Path, redis_url: str) -> Iterator[running.Running]:
    with running.server(tmp_path, redis_url) as api:
        yield api


@pytest.fixture
def worker(api: running.Running) -> Worker:
    return Worker(api.core)


@pytest.fixture
def job(api: running.Running, worker: Worker) -> str:
    submission = jobs.Submission({"job_type": "command_task", "command": "true"})
    id_ = jobs.submit(api.core, "default", submission).answer.id
    worker.run(id_)
    return id_


def _follow(api: running.Running, job: str, version: str = "1.1") -> socket.socket:
    """A connection that has the answer's head and the first comment."""
    port = int(api.url.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    key = api.client.headers["Authorization"]
    head = f"GET /jobs/{job}/output/stream?raw=1 HTTP/{version}\r\nHost: x\r\n"
    connection.sendall(f"{head}Authorization: {key}\r\nConnection: close\r\n\r\n".encode())
    got = b""
    while b": stream" not in got:
        got += connection.recv(1)
    if version == "1.1":
        assert b"Transfer-Encoding: chunked" in got
        _take(connection, len(b"\n\n\r\n"))
    return connection


def _take(connection: socket.socket, size: int) -> bytes:
    pieces = []
    while size:
        pieces.append(connection.recv(size))
        assert pieces[-1], "closed within a chunk"
        size -= len(pieces[-1])
    return b"".join(pieces)


def _chunks(connection: socket.socket) -> str:
    """All chunks to the last one, read strictly."""
    found: list[bytes] = []
    while True:
        size = b""
        while not size.endswith(b"\r\n"):
            size += _take(connection, 1)
        chunk = _take(connection, int(size, 16))
        assert _take(connection, 2) == b"\r\n"
        if not chunk:
            return b"".join(found).decode()
        found.append(chunk)


def _rows(text: str) -> list[tuple[int, str]]:
    return [(data["n"], data["line"]) for _, data in frames(text)]


def test_those_who_read_slowly_or_with_an_old_protocol_get_every_line_like_all_others(
    api: running.Running, worker: Worker, job: str
) -> None:
    fast = [_follow(api, job) for _ in range(10)]
    slow = [_follow(api, job) for _ in range(3)]
    old = _follow(api, job, "1.0")
    gone = [_follow(api, job) for _ in range(3)]
    with ThreadPoolExecutor(20) as pool:
        texts = [pool.submit(_chunks, connection) for connection in fast]
        x = worker.core.store.executions.get(job, tenant="default")
        for n in range(MANY):
            x = worker.lines(x, f"{n} {LONG}")
            if n == 100:
                for connection in gone:
                    connection.close()
        worker.finish(x)
        late = [pool.submit(_chunks, connection) for connection in slow]
        texts.append(pool.submit(lambda: _to_the_end(old)))
        expected = [(n + 1, f"{n} {LONG}") for n in range(MANY)]
        for text in [*texts, *late]:
            assert _rows(text.result(60)) == expected


def _to_the_end(connection: socket.socket) -> str:
    pieces = list(iter(lambda: connection.recv(65536), b""))
    return b"".join(pieces).decode().removeprefix("\n\n")


def test_who_joins_and_leaves_while_lines_come_misses_none_and_gets_none_twice(
    api: running.Running, worker: Worker, job: str
) -> None:
    def some(begin: float) -> list[tuple[int, str]]:
        time.sleep(begin)
        with api.client.stream("GET", f"/jobs/{job}/output/stream?raw=1") as answer:
            return _rows("".join(answer.iter_text()))

    with ThreadPoolExecutor(20) as pool:
        found = [pool.submit(some, n / 20) for n in range(20)]
        x = worker.core.store.executions.get(job, tenant="default")
        for n in range(500):
            x = worker.lines(x, str(n))
            time.sleep(0.002)
        worker.finish(x)
        for one in found:
            assert one.result(30) == [(n + 1, str(n)) for n in range(500)]


class _Client:
    """Takes pages as long as it has room for them."""

    kind = "raw"

    def __init__(self, pages: Sequence[Page], room: int = 10**9) -> None:
        self.after: Position = (0, 0)
        self.text, self._room, self._pages = "", room, pages

    def read(self) -> Page | None:
        return next((page for page in self._pages if page.end > self.after), None)

    def take(self, page: Page) -> bool:
        self.text, self.after = self.text + page.text, page.end
        self._room -= 1
        return self._room > 0


def test_who_is_live_is_served_once_each_and_who_has_no_room_goes_on_alone() -> None:
    channel = turns.Channel()
    pages = [Page(f"{n} ", (n, 0), last=False, few=n == 3) for n in (1, 2, 3)]
    clients = [_Client(pages), _Client(pages, room=2), _Client(pages)]
    clients[2].after = (2, 0)
    waiters = [turns.Waiter(channel) for _ in clients]
    for waiter, client in zip(waiters, clients, strict=True):
        channel.waiters[waiter] = None
        waiter.live = client

    channel.rouse()
    deadline = time.monotonic() + 10
    while clients[0].text != "1 2 3 ":
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert [client.text for client in clients] == ["1 2 3 ", "1 2 ", "3 "]
    assert [waiter.live is not None for waiter in waiters] == [True, False, True]
    assert [waiter.wait(0) for waiter in waiters] == [False, True, False]


def test_a_turn_that_fails_wakes_everyone() -> None:
    channel = turns.Channel()
    client = _Client([])
    client.read = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    waiter = turns.Waiter(channel)
    channel.waiters[waiter] = None
    waiter.live = client

    channel.rouse()

    assert waiter.wait(10, client)


def test_a_chunk_that_finds_no_room_is_finished_later() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    line = lines.Line(ours)
    sent = 0
    for n in itertools.count():
        sent = n
        if not line.send(f"{n:01000d}"):
            break
    theirs.setblocking(True)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_chunks, theirs)
        ours.setblocking(True)
        line.finish()
        ours.sendall(b"0\r\n\r\n")
        text = reading.result(10)

    assert text == "".join(f"{n:01000d}" for n in range(sent + 1))


def test_a_line_to_somebody_who_is_gone_says_so_when_it_is_finished() -> None:
    ours, theirs = socket.socketpair()
    line = lines.Line(ours)
    theirs.close()

    assert not line.send("anything")
    with pytest.raises(OSError):
        line.finish()
