"""A scripted gateway on its control socket: it says yes, and remembers what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Gateway:
    """What workers asked, in order: (verb, request)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.git: list[str] = []  # hosts with logins
        self.status: dict[str, Any] = {}  # what it says of itself
        self.on: Callable[[str], None] = lambda verb: None  # called with each request

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        verb = request.pop("verb")
        self.on(verb)
        self.asked.append((verb, request))
        if verb == "status":
            return self.status
        return {"port": 8119, "git": self.git, "events": [], "is_saved": True}

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked if verb in ("open", "close")]

    def policies(self) -> list[dict[str, Any]]:
        return [request["policy"] for verb, request in self.asked if verb == "open"]


@contextmanager
def running(path: Path) -> Iterator[Gateway]:
    """One that listens at `path`."""
    gateway = Gateway()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                answer = gateway.answer(json.loads(line))
                self.wfile.write(json.dumps(answer).encode() + b"\n")

    path.parent.mkdir(parents=True, exist_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)
