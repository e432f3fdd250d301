"""A receiver of webhooks that does what a test tells it, and remembers what came."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: How a request is answered: a status, or
HANG = "hang"  # not at all
CLOSE = "close"  # the connection ends within the answer
DRIP = "drip"  # a byte now and then, for ever
FLOOD = "flood"  # a body without end
NOISE = "noise"  # what is no HTTP


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """Answers come from `script` one by one, then `default` for ever."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.certificate: Path | None = None
        self.got: list[Got] = []
        self.script: list[int | str] = []
        self.default: int | str | Callable[[], int] = 200
        self.answer_headers: dict[str, str] = {}
        self.over = threading.Event()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def types(self) -> list[str]:
        return [one.body["type"] for one in list(self.got)]

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["Content-Length"])
        raw = handler.rfile.read(length)
        if len(raw) < length:
            return  # the sender died: nobody would take this for a request
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.got.append(Got(handler.path, headers, raw))
            how = self.script.pop(0) if self.script else self.default
            how = how if isinstance(how, int | str) else how()
        self._do(handler, how)

    def _do(self, handler: BaseHTTPRequestHandler, how: int | str) -> None:
        if isinstance(how, int):
            handler.send_response(how)
            for name, value in self.answer_headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.close_connection = True
        if how == HANG:
            self.over.wait()
        elif how == CLOSE:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        elif how == NOISE:
            handler.wfile.write(b"\x00\xffhello\r\n\r\n")
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
            while not self.over.is_set():
                handler.wfile.write(b"x" * (65_536 if how == FLOOD else 1))
                time.sleep(0 if how == FLOOD else 0.05)


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(tls)
    try:
        yield receiver
    finally:
        receiver.close()


def free_port() -> int:
    """One at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
