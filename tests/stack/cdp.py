"""A real Chromium outside of all sandboxes, whose protocol is there for who has the token."""

from __future__ import annotations

import re
import secrets
import socket
import socketserver
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.parts.stack import eventually

TOKEN = "t0ken-of-the-browser-outside"
IMAGE = "localhost/knify/e2e:latest"
_OPTIONS = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--user-data-dir=/tmp/profile"]
_CHUNK = 65_536


class Guard(socketserver.ThreadingTCPServer):
    """Lets requests with the token through to the browser; `asked` are their first lines."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.browser = port
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """As the operator sets it."""
        return f"http://127.0.0.1:{self.server_address[1]}?token={TOKEN}"


class _Passage(socketserver.StreamRequestHandler):
    server: Guard

    def handle(self) -> None:
        first = self.rfile.readline()
        self.server.asked.append(first.decode())
        if b"?token=" + TOKEN.encode() not in first:
            self.wfile.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
            return
        rest = b""
        while not rest.endswith(b"\r\n\r\n"):
            rest += self.rfile.readline()
        with socket.create_connection(("127.0.0.1", self.server.browser)) as there:
            there.sendall(re.sub(rb"\?token=\S+", b"", first) + rest)
            back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
            back.start()
            _pump(self.request, there)
            back.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@contextmanager
def running() -> Iterator[Guard]:
    """The browser runs in a container of its own, on this host's network."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    name = f"kn-cdp-{secrets.token_hex(4)}"
    start = ["podman", "run", "--rm", "--detach", "--pull=never", "--network=host", "--name", name]
    start += ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]  # what a machine may refuse
    start += [IMAGE, "/usr/bin/chromium", *_OPTIONS, f"--remote-debugging-port={port}"]
    subprocess.run(start, check=True, capture_output=True, timeout=120)
    try:
        eventually(lambda: _answers(port), seconds=60)
        with Guard(port) as guard:
            threading.Thread(target=guard.serve_forever, daemon=True).start()
            yield guard
            guard.shutdown()
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "0", name], capture_output=True, check=False)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/version", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
