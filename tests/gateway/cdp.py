"""A browser's two doors: `/json/version`, and a WebSocket that gives back what it gets."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TOKEN = "t0ken-of-the-browser"


class Cdp(socketserver.ThreadingTCPServer):
    """`asked` are the heads of all requests."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.refuses: bytes | None = None  # a status line in place of an agreement
        self.version: bytes | None = None  # in place of what it says of itself

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(socketserver.StreamRequestHandler):
    server: Cdp

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := self.rfile.readline()):
                return
            head += line
        self.server.asked.append(head.decode())
        if b"/json/version" in head.split(b"\r\n")[0]:
            self._tell()
        elif self.server.refuses is not None:
            self.wfile.write(self.server.refuses + b"\r\ncontent-length: 0\r\n\r\n")
        else:
            self.wfile.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: yes\r\nX-Inner: secret\r\n\r\nhello "
            )
            while data := self.request.recv(65_536):
                self.wfile.write(data)

    def _tell(self) -> None:
        where = f"ws://0.0.0.0:{self.server.port}/devtools/browser/b-1"
        told = json.dumps({"Browser": "Chrome/1", "webSocketDebuggerUrl": where, "n": 3}).encode()
        content = told if self.server.version is None else self.server.version
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)


@contextmanager
def running() -> Iterator[Cdp]:
    with Cdp() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
