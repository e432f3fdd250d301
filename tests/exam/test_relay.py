"""A way through the proxy for what speaks no HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from knify.agents.exam import relay, source


@contextmanager
def _proxy(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each CONNECT with this, and then gives back all that it gets."""
    asked: list[bytes] = []

    def talk(line: socket.socket) -> None:
        with line:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += line.recv(1)
            asked.append(head.split(b"\r\n")[0])
            line.sendall(answer)
            while data := line.recv(65_536):
                line.sendall(data)

    def serve(server: socket.socket) -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)


def test_bytes_go_both_ways_whole() -> None:
    sent = bytes(range(256)) * 4_000

    with (
        _proxy(b"HTTP/1.1 200 OK\r\n\r\n") as (url, asked),
        relay.through(url, "db.example:5432") as port,
        socket.create_connection(("127.0.0.1", port), 10) as line,
    ):
        threading.Thread(target=line.sendall, args=(sent,), daemon=True).start()
        got = b""
        while len(got) < len(sent):
            got += line.recv(65_536)

    assert got == sent
    assert set(asked) == {b"CONNECT db.example:5432 HTTP/1.1"}


def test_a_refusal_is_told() -> None:
    with (
        _proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n") as (url, _),
        pytest.raises(source.SourceError, match="no way to db:1: 403 Forbidden"),
        relay.through(url, "db:1"),
    ):
        pass


def test_a_proxy_that_is_not_there_is_told() -> None:
    with (
        pytest.raises(source.SourceError, match="no way to db:1"),
        relay.through("http://127.0.0.1:1", "db:1"),
    ):
        pass
