"""`/api/v1/tasks/stream`: a task's history and lines as messages of a WebSocket."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets import exceptions
from websockets.sync import client as websockets

from api import websockets as served
from knify import manifest, model
from knify.lifecycle import State
from knify.services import tasks
from knify.store import keys
from tests.api import running
from tests.api.parts import MANIFEST, Worker
from tests.parts import redis, stack
from tests.tasks.parts import TASKS

STREAM = f"{TASKS}/stream"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, redis_server: redis.Server
) -> Iterator[running.Running]:
    """The real one: WebSockets need real connections."""
    redis_server.client().flushall()
    with running.server(tmp_path_factory.mktemp("api"), redis_server.url) as server:
        yield server


@pytest.fixture
def worker(server: running.Running) -> Worker:
    return Worker(server.core)


def begun(server: running.Running, worker: Worker, task_id: str) -> model.Execution:
    """A task that runs."""
    wanted = manifest.read(MANIFEST | {"metadata": {"name": "n", "id": task_id}})
    return worker.run(tasks.submit(server.core, "default", wanted, new=f"task_{task_id}").id)


@contextlib.contextmanager
def opened(server: running.Running, query: str, **more: Any) -> Iterator[Any]:
    url = f"{server.url.replace('http', 'ws')}{STREAM}?{query}"
    key = {"Authorization": server.client.headers["Authorization"]}
    with websockets.connect(url, additional_headers=key, open_timeout=20, **more) as found:
        yield found


def heard(connection: Any) -> list[dict[str, Any]]:
    """All messages to the end."""
    return [json.loads(text) for text in connection]


def closed(connection: Any) -> int | None:
    """With which code it is closed, whatever is told before."""
    with contextlib.suppress(exceptions.ConnectionClosed):
        heard(connection)
    return connection.close_code


def placed(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are stored; how far a task is, is told besides."""
    return [message for message in messages if "id" in message]


def test_all_comes_in_order_and_the_end_is_a_normal_close(
    server: running.Running, worker: Worker
) -> None:
    worker.finish(worker.lines(begun(server, worker, "all"), "one", "two"), State.FAILED)

    with opened(server, "task_id=all") as connection:
        messages = heard(connection)

    states = [m["state"] for m in messages if m["type"] == "state_change"]
    assert states == ["pending", "staging", "provisioning", "ready", "running", "failed"]
    assert [m["line"] for m in messages if m["type"] == "output"] == ["one", "two"]
    assert [m["stage"] for m in messages if m["type"] == "progress"] == ["sandbox_created"]
    assert messages[-1]["state"] == "failed" and connection.close_code == 1000
    assert all(m["task_id"] == "all" for m in messages)


def test_what_comes_later_is_told_at_once(server: running.Running, worker: Worker) -> None:
    x = begun(server, worker, "live")

    with opened(server, "task_id=live") as connection:
        while json.loads(connection.recv(20)).get("state") != "running":
            pass
        x = worker.lines(x, "one")
        told = [json.loads(connection.recv(20)) for _ in range(2)]
        worker.finish(x)
        rest = heard(connection)

    assert [message["type"] for message in told] == ["output", "progress"]
    assert told[1]["output_bytes"] == 4 and told[1]["current_tool"] is None
    assert [message["state"] for message in rest] == ["completing", "completed"]


def test_whoever_comes_again_gets_the_rest_and_nothing_twice(
    server: running.Running, worker: Worker
) -> None:
    x = worker.lines(begun(server, worker, "again"), *map(str, range(300)))
    worker.finish(x)
    with opened(server, "task_id=again") as connection:
        whole = placed(heard(connection))

    for at in (0, 3, 7, 8, 150, len(whole) - 2):
        with opened(server, f"task_id=again&after={whole[at]['id']}") as connection:
            assert placed(heard(connection)) == whole[at + 1 :]

    assert len([m for m in whole if m["type"] == "output"]) == 300


def test_a_token_opens_just_this_tasks_stream_once(server: running.Running, worker: Worker) -> None:
    for name in ("mine", "other"):
        worker.finish(begun(server, worker, name))
    token = server.client.post(
        "/stream-tokens", json={"path": f"{STREAM}?task_id=mine&after=2.0"}
    ).json()
    base = server.url.replace("http", "ws")

    with pytest.raises(exceptions.InvalidStatus, match="401"):
        websockets.connect(f"{base}{STREAM}?task_id=other&token={token['token']}")
    with websockets.connect(f"{base}{token['url']}") as connection:
        first = heard(connection)[0]
    with pytest.raises(exceptions.InvalidStatus, match="401"):
        websockets.connect(f"{base}{token['url']}")

    assert first["state"] == "provisioning"


def test_a_ping_is_answered_and_what_a_client_says_is_bounded(
    server: running.Running, worker: Worker
) -> None:
    begun(server, worker, "pings")

    with opened(server, "task_id=pings") as connection:
        assert connection.ping().wait(20)
        connection.send("hello")
        assert connection.ping().wait(20)
        connection.send("x" * (served.MOST_MESSAGE + 1))
        assert closed(connection) == 1009
    with opened(server, "task_id=pings") as connection:
        with contextlib.suppress(exceptions.ConnectionClosed):
            for _ in range(served.MOST_HEARD // 2_000 + 1):
                connection.send("x" * 2_000)
        assert closed(connection) == 1008


def test_a_client_that_breaks_the_protocol_is_sent_away(
    server: running.Running, worker: Worker
) -> None:
    begun(server, worker, "rude")

    with raw(server, "rude") as connection:
        connection.sendall(b"\x81\x05hello")  # a client's frames are masked
        told = rest(connection)

    assert b"\x88" in told and (1002).to_bytes(2) in told


def test_a_client_that_closes_leaves_nobody_behind(server: running.Running, worker: Worker) -> None:
    begun(server, worker, "leaves")
    for _ in range(3):
        with opened(server, "task_id=leaves") as connection:
            connection.recv(20)
            connection.close()
            assert connection.close_code == 1000
    with raw(server, "leaves"):
        pass

    channel = keys.execution("task_leaves")
    stack.eventually(lambda: server.core.store.client.pubsub_numsub(channel)[0][1] == 0)


def test_many_clients_get_the_same_without_gaps(server: running.Running, worker: Worker) -> None:
    x = begun(server, worker, "many")
    found: list[list[Any]] = []

    def listen(connection: Any) -> None:
        found.append(placed(heard(connection)))

    with contextlib.ExitStack() as many:
        clients = [many.enter_context(opened(server, "task_id=many")) for _ in range(20)]
        threads = [threading.Thread(target=listen, args=(one,)) for one in clients]
        for thread in threads:
            thread.start()
        for n in range(50):
            x = worker.lines(x, f"{n} " + "x" * 3_000)
        worker.finish(x)
        for thread in threads:
            thread.join(60)

    assert len(found) == 20 and all(one == found[0] for one in found)
    assert [m["line"].split()[0] for m in found[0] if m["type"] == "output"] == [
        str(n) for n in range(50)
    ]


def test_without_keys_pages_of_other_origins_open_nothing(
    tmp_path: Path, redis_server: redis.Server
) -> None:
    ws_port = running.free_port()
    more = {"KNIFY_NO_AUTH": "1", "KNIFY_WS_PORT": str(ws_port)}
    with running.server(tmp_path, redis_server.url, **more) as server:
        worker = Worker(server.core)
        worker.finish(begun(server, worker, "open"))
        url = f"ws://localhost:{ws_port}{STREAM}?task_id=open"

        for origin in ("http://evil.example", "null", "http://localhost:1"):
            with pytest.raises(exceptions.InvalidStatus, match="403"):
                websockets.connect(url, additional_headers={"Origin": origin})
        for headers in ({}, {"Origin": server.url.replace("127.0.0.1", "localhost")}):
            with websockets.connect(url, additional_headers=headers) as connection:
                assert heard(connection)[-1]["state"] == "completed"


@contextlib.contextmanager
def raw(server: running.Running, task_id: str) -> Iterator[socket.socket]:
    """A bare connection behind the handshake."""
    port = int(server.url.rpartition(":")[2])
    head = (
        f"GET {STREAM}?task_id={task_id} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nAuthorization: {server.client.headers['Authorization']}\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(1)
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in got  # the answer of RFC 6455's own example
        yield connection


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    got = b""
    while piece := connection.recv(65_536):
        got += piece
    return got
