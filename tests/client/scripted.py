"""A small real HTTP server that answers what a test has written down, streams included."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    """What came in."""

    method: str
    path: str  # as sent, without the query
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


@dataclass
class Answer:
    """What goes out. `cut`: the connection breaks after so many bytes of the body."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


Script = Callable[[Request], Answer]


@dataclass
class Server:
    """Routes by method and path; each holds a queue of answers whose last one stays."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    _routes: dict[tuple[str, str], list[Script]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(
        self, method: str, path: str, body: Any = None, status: int = 200, **headers: str
    ) -> None:
        """Answer with JSON, or with bytes as they are. `Retry_After="1"` is a header."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.on_call(method, path, lambda request: Answer(raw, status, given))

    def on_call(self, method: str, path: str, script: Script) -> None:
        """Answer with what a function says."""
        self._routes.setdefault((method, path), []).append(script)

    def skip(self, method: str, path: str) -> None:
        """From now on only the newest answer of a route."""
        with self._lock:
            del self._routes[(method, path)][:-1]

    def on_stream(
        self, path: str, frames: list[dict[str, Any]], cuts: tuple[int, ...] = ()
    ) -> None:
        """A resumable stream with ids 1…N; connection n breaks after `cuts[n]` bytes."""
        left = list(cuts)

        def script(request: Request) -> Answer:
            after = int(request.headers.get("last-event-id", "0"))
            if after >= len(frames) > 0:
                return Answer(status=204)
            text = ": stream\n\n" + "".join(
                f"id: {n}\ndata: {json.dumps(data)}\n\n: still here\n\n"
                for n, data in enumerate(frames[after:], after + 1)
            )
            cut = left.pop(0) if left else None
            return Answer(text.encode(), 200, {"Content-Type": "text/event-stream"}, cut)

        self.on_call("GET", path, script)

    def on_job(self, job_id: str, status: str = "completed", **fields: Any) -> None:
        """A job's record."""
        files = fields.pop("files", [])
        job = {"id": job_id, "status": status, "spec": {"job_type": "runbook_task"}}
        job |= {"created_at": "2026-01-31T10:00:00Z", "artifacts": {"files": files}} | fields
        self.on("GET", f"/jobs/{job_id}", job)

    def seen(self, method: str, path: str) -> list[Request]:
        """The requests that came to one place."""
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    def answer(self, request: Request) -> Answer:
        """The next answer of the route's queue."""
        with self._lock:
            self.requests.append(request)
            scripts = self._routes.get((request.method, request.path), [])
            script = scripts.pop(0) if len(scripts) > 1 else (scripts or [_nothing])[0]
        return script(request)


def _nothing(request: Request) -> Answer:
    body = {"error": "No such resource.", "code": "NOT_FOUND", "detail": None}
    return Answer(json.dumps(body).encode(), 404, {"X-Request-Id": "req-1"})


@contextlib.contextmanager
def running(port: int = 0) -> Iterator[Server]:
    """A server on this port of loopback, a free one without it."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query))
            request = Request(self.command, parts.path, query, headers, self._body(headers))
            self._send(server.answer(request))

        do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = _respond

        def _body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            headers = {"Content-Type": "application/json"} | answer.headers
            for name, value in headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut])
            self.close_connection = answer.cut is not None

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    class Quiet(ThreadingHTTPServer):
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is no news."""

    httpd = Quiet(("127.0.0.1", port), Handler)
    server.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


@contextlib.contextmanager
def silence(server: Server, path: str) -> Iterator[threading.Event]:
    """A stream that says nothing; the event is set once somebody listens."""
    listened, over = threading.Event(), threading.Event()

    def script(request: Request) -> Answer:
        listened.set()
        over.wait(60)
        return Answer(b"{}", status=503)

    server.on_call("GET", path, script)
    try:
        yield listened
    finally:
        over.set()


def multipart(request: Request) -> dict[str, bytes]:
    """The parts of a form by their names."""
    boundary = re.search(r"boundary=(\S+)", request.headers["content-type"])
    assert boundary is not None
    parts = {}
    for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        assert name is not None
        parts[name[1].decode()] = content.removesuffix(b"\r\n")
    return parts
