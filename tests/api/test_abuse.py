"""Clients that send slowly, nothing, or ten thousand keys."""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import gevent
import httpx
import pytest

from api import auth, pace, unread
from api import errors as api_errors
from knify import errors
from knify.core import Core
from knify.services import keys
from tests.api import running
from tests.api.parts import COMMAND, Worker
from tests.api.running import Running
from tests.parts import redis as redis_part
from tests.parts.stack import eventually

HEAD = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
#: The real server with less patience, and room for 50 connections that wait for a head.
SERVE = """
from gevent import monkey; monkey.patch_all()
from api import pace, serving, unread, worker
worker.HEAD_SECONDS, pace.STALL_SECONDS, serving.CONNECTIONS = 1.5, 1.5, 200
unread.SECONDS = 4
pace.SLOWEST = 10**9
serving.run()
"""


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("hasty")
    redis = redis_part.start(home)
    with running.server(home, redis.url, ("-c", SERVE)) as server:
        server.client.headers["Connection"] = "close"  # a kept one could close under a request
        yield server
    redis.stop()


def connect(server: Running, said: bytes = b"") -> socket.socket:
    port = int(server.url.rsplit(":", 1)[1])
    opened = socket.create_connection(("127.0.0.1", port), timeout=30)
    opened.sendall(said)
    return opened


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    while piece := connection.recv(65_536):
        found += piece
    return found


def head(server: Running, length: int) -> bytes:
    key = server.client.headers["Authorization"]
    return HEAD + f"Authorization: {key}\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize("said", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_who_does_not_finish_a_head_is_let_go(hasty: Running, said: bytes) -> None:
    with connect(hasty, said) as silent:
        assert b"200" not in answer_of(silent)  # times out, and fails, if it is never closed


def test_a_head_that_drips_is_let_go_too(hasty: Running) -> None:
    deadline = time.monotonic() + 30
    with connect(hasty, b"GET / HTTP/1.1\r\nX-Slow: ") as dripping, pytest.raises(OSError):
        while time.monotonic() < deadline:
            dripping.sendall(b"x")
            time.sleep(0.05)


def test_an_idle_connection_is_closed(hasty: Running) -> None:
    with connect(hasty, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as idle:
        assert answer_of(idle).startswith(b"HTTP/1.1 200")


def test_hundreds_of_silent_connections_keep_nobody_out(hasty: Running) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(hasty)) for _ in range(400)]

        assert hasty.client.get("/jobs").status_code == 200
        assert httpx.get(f"{hasty.url}/", timeout=30).status_code == 200

        assert {answer_of(s) for s in silent} == {b""}


def deaf(server: Running, said: bytes) -> socket.socket:
    """A client that reads nothing and has hardly any room."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    opened.settimeout(30)
    opened.connect(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
    opened.sendall(said)
    return opened


def was_dropped(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)  # errors are told anyway
    return bool(poll.poll(0))


@pytest.mark.slow
def test_hundreds_that_ask_much_and_read_nothing_keep_nobody_out(hasty: Running) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 60
    with ExitStack() as stack:
        for _ in range(205):  # more than the server takes
            stack.enter_context(deaf(hasty, asked))

        assert httpx.get(f"{hasty.url}/", timeout=60).status_code == 200


def test_a_stream_that_nobody_reads_is_dropped(hasty: Running) -> None:
    job = hasty.client.post("/jobs", json={"spec": COMMAND}).json()["job_id"]
    worker = Worker(hasty.core)
    x = worker.run(job)
    for _ in range(100):
        x = worker.lines(x, "x" * 60_000)
    key = hasty.client.headers["Authorization"]
    asked = f"GET /jobs/{job}/output/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n"

    with deaf(hasty, asked.encode()) as connection:
        eventually(lambda: was_dropped(connection), seconds=120)


def test_of_too_many_that_do_not_read_the_longest_have_to_go() -> None:
    class Known(unread.Reader):
        def __init__(self, idle: float) -> None:
            self._idle = idle

        def idle(self) -> float:
            return self._idle

        def crawls(self) -> bool:
            return self._idle > 30

    readers = [Known(idle) for idle in (0, 3, 5, 31, 1, 4)]

    assert [one.idle() for one in unread.lost(readers, 10)] == [31]
    assert [one.idle() for one in unread.lost(readers, 2)] == [5, 31]


def test_a_body_that_stops_is_given_up(hasty: Running) -> None:
    with connect(hasty, head(hasty, 100) + b'{"spec"') as stalled:
        found = answer_of(stalled)

    assert found.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_TIMEOUT" in found


class Trickle:
    """A body of twenty bytes, each a while after the one before."""

    def __init__(self, pause: float) -> None:
        self.left = 20
        self.pause = pause

    def read(self, size: int) -> bytes:
        gevent.sleep(self.pause)
        self.left -= 1
        return b"x" if self.left >= 0 else b""


def test_a_body_that_keeps_coming_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer in all than any pause may last. One loop has both clocks, so they cannot race."""
    monkeypatch.setattr(pace, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(pace, "SLOWEST", 10**9)
    steady, stalled = pace.Body(Trickle(0.05)), pace.Body(Trickle(0.6))

    assert steady.read() == b"x" * 20

    with pytest.raises(api_errors.SlowBody):
        stalled.read(1)


def test_a_body_that_is_refused_unread_costs_no_waiting(hasty: Running) -> None:
    sent = HEAD + b"Authorization: Bearer wrong\r\nContent-Length: 1000000\r\n\r\n"
    with connect(hasty, sent) as refused:
        assert answer_of(refused).startswith(b"HTTP/1.1 401")


def wrong_keys(core: Core, count: int) -> Iterator[str]:
    """Half of them with the id of a real key."""
    real = keys.create(core, "default").record.id
    for n in range(count):
        key_id = real if n % 2 else secrets.token_hex(8)
        yield f"knify_live_{key_id}_{secrets.token_hex(19)}"


@pytest.mark.slow
def test_ten_thousand_wrong_keys_open_nothing_and_leave_nothing(core: Core) -> None:
    cache = auth.Cache()
    right = keys.create(core, "default").text
    cache.authenticate(core, right)
    tried = list(wrong_keys(core, 10_000))
    before = core.store.client.dbsize()

    for text in tried:
        with pytest.raises(errors.Unauthorized):
            cache.authenticate(core, text)

    assert cache.authenticate(core, right)
    assert core.store.client.dbsize() == before
    assert len(cache._known) == 1


def test_what_has_not_the_form_of_a_key_costs_no_round_trip(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.store.access.__class__, "find_key", None)
    texts = ["", "x", "knify_live_a", "knify_prod_a_b", "knify_live_A_b", "knify_live_a_b_c"]

    for text in [*texts, "knify_live_a_" + "b" * 8_000, "knify_live_a_b\n", "k\u00e9y"]:
        with pytest.raises(errors.Unauthorized):
            keys.authenticate(core, text)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thousands_of_requests_with_wrong_keys_disturb_nobody(hasty: Running) -> None:
    with httpx.Client(base_url=hasty.url, timeout=30) as attacker:
        for n, text in enumerate(wrong_keys(hasty.core, 3_000)):
            answer = attacker.get("/jobs", headers={"Authorization": f"Bearer {text}"})
            assert answer.status_code == 401
            if n % 300 == 0:
                assert hasty.client.get("/jobs").status_code == 200
