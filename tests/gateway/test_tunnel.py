"""A tunnel's end is passed on, as far as what is behind it knows one."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify.gateway import door, tunnel
from knify.gateway import line as lines
from tests.gateway import porch as porches
from tests.gateway import web
from tests.parts.stack import eventually


@pytest.fixture
def porch(monkeypatch: pytest.MonkeyPatch) -> Iterator[porches.Porch]:
    with porches.running(monkeypatch) as running:
        yield running


def test_the_end_of_a_sandboxs_tunnel_is_heard_behind_tls(
    porch: porches.Porch, tmp_path: Path
) -> None:
    secret, certificate = web.certified(tmp_path, "web.test")
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(secret)
    trusting = ssl.create_default_context(cafile=str(certificate))
    heard: list[bytes] = []

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(behind, "127.0.0.1", 0, ssl=inside)

    server = porch.call(listen())
    port = server.sockets[0].getsockname()[1]

    async def serve(_: door.Door, line: lines.Line) -> None:
        opened = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="web.test"
        )
        line.bind(opened[1])
        try:
            await tunnel.run(line, b"early ", *opened)
        finally:
            opened[1].transport.abort()

    with socket.create_connection(("127.0.0.1", porch.open(serve)), timeout=30) as sandbox:
        sandbox.sendall(b"late")
        sandbox.shutdown(socket.SHUT_WR)

        assert sandbox.recv(1) == b""
    eventually(lambda: porch.doors[-1].connections == 0)
    porch.make(server.close)
    assert heard == [b"early late"]
