"""A small application to test: a list of users and a form that adds one."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px sans-serif;margin:3em;max-width:40em}} label{{display:block;margin:1em 0}}
input{{display:block;width:20em;padding:.4em}} button{{padding:.5em 1em}}
.ok{{background:#e4f6e4;padding:.6em}}</style></head><body><h1>{title}</h1>{body}</body></html>"""
FORM = """<form method="post" action="/users"><label>Name <input name="name" required></label>
<label>Email <input name="email" type="email" required></label>
<button>Create user</button></form>"""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/users/new":
            self._answer("New user", FORM)
        elif self.path in ("/", "/users"):
            self._answer("Users", self._list() + '<p><a href="/users/new">New user</a></p>')
        elif self.path == "/favicon.ico":  # browsers ask for it by themselves
            self._answer("", "", status=204)
        else:
            self._answer("Not found", "", status=404)

    def do_POST(self) -> None:
        sent = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        self._users.append({name: values[0] for name, values in sent.items()})
        self._answer("Users", '<p class="ok" role="status">User created</p>' + self._list())

    @property
    def _users(self) -> list[dict[str, str]]:
        server: Any = self.server
        users: list[dict[str, str]] = server.users
        return users

    def _list(self) -> str:
        rows = (
            f"{html.escape(u.get('name', ''))} &lt;{html.escape(u.get('email', ''))}&gt;"
            for u in self._users
        )
        return "<ul>" + "".join(f"<li>{row}</li>" for row in rows) + "</ul>"

    def _answer(self, title: str, body: str, status: int = 200) -> None:
        data = PAGE.format(title=title, body=body).encode() if status != 204 else b""
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """The report says what happened."""


@contextmanager
def running() -> Iterator[str]:
    """Serve it on a free port of this machine; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.users = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
