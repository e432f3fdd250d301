"""JSON over HTTP, only where the sandbox was given a way out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from knify.agents.exam import http, main
from tests.exam.conftest import Examine, failed, only

CRM = (
    "sources: {a: {kind: http, url: 'http://crm.example/v1?u={user_id}&from={from}', "
    "items: data/rows, user: user_id, time: at}}"
)
ROWS = [
    {"user_id": "u1", "at": "2025-01-01T00:00:00Z"},
    {"user_id": "u2", "at": "2025-01-01T00:00:00Z"},
    {"user_id": "u1", "at": "2026-01-01T00:00:00Z"},
    "no row",
]


class Proxy(ThreadingHTTPServer):
    """Takes the requests of a client that goes through a proxy, and answers them itself."""

    daemon_threads = True
    status = 200
    body: bytes = b""
    trickles = False
    asked: list[str] = []
    ended: threading.Event


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        proxy: Any = self.server
        proxy.asked.append(self.path)
        self.send_response(proxy.status)
        self.send_header("Content-Length", str(len(proxy.body)))
        self.end_headers()
        while proxy.trickles:
            self.wfile.write(b" ")
            proxy.ended.wait(0.05)
        self.wfile.write(proxy.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    server = Proxy(("127.0.0.1", 0), _Handler)
    server.asked, server.ended = [], threading.Event()
    server.body = json.dumps({"data/rows": ROWS}).encode()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.trickles = False
    server.ended.set()
    server.shutdown()
    server.server_close()


def test_the_users_rows_are_asked_for_and_checked(proxy: Proxy, examine: Examine) -> None:
    found = only(examine(CRM.replace("data/rows", "/data~1rows"), user_id="u1"))

    assert (found["rows"], found["outside_range"]) == (1, 1)
    assert [a["kind"] for a in found["anomalies"]] == ["unreadable_row"]
    assert proxy.asked == ["http://crm.example/v1?u=u1&from=2025-01-01T00%3A00%3A00.000Z"]


def test_an_id_cannot_change_what_is_asked(proxy: Proxy, examine: Examine) -> None:
    examine(CRM, user_id="x&admin=1#/../")

    assert proxy.asked[0].startswith("http://crm.example/v1?u=x%26admin%3D1%23%2F..%2F&from=")


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (500, b"", "answered 500"),
        (200, b"<html>", "did not answer JSON"),
        (200, b"[" * 100_000, "did not answer JSON"),
        (200, b'{"data/rows": 3}', "no list of rows at data/rows"),
    ],
)
def test_a_service_that_fails_says_how(
    proxy: Proxy, examine: Examine, status: int, body: bytes, why: str
) -> None:
    proxy.status, proxy.body = status, body

    assert why in failed(examine(CRM))


def test_a_service_that_sends_a_byte_now_and_then_is_given_up(
    proxy: Proxy, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_GRACE", 0.0)
    proxy.trickles = True

    assert failed(examine(CRM, seconds=0.5)) == "took longer than 0.5 s"


def test_rows_that_are_not_looked_at_are_told(
    proxy: Proxy, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_ROWS", 3)

    found = only(examine(CRM.replace("data/rows", "/data~1rows")))

    assert [(a["kind"], a["rows"]) for a in found["anomalies"]] == [("cut", 1)]


def test_without_a_way_out_it_says_so(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert failed(examine(CRM)).startswith("not available")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "x"])
def test_only_http_is_http(examine: Examine, url: str) -> None:
    why = failed(examine(f"sources: {{a: {{kind: http, url: '{url}', user: u, time: t}}}}"))

    assert "http://" in why


def test_a_database_is_named_as_the_operator_does(examine: Examine) -> None:
    rest = "kind: postgres, table: t, user: u, time: t}}"

    old = failed(examine(f"sources: {{a: {{address: 'db.example:5432', connection: c, {rest}"))
    none = failed(examine(f"sources: {{a: {{connection: crm, {rest}"))

    assert old == "address does not belong to postgres"
    assert none.startswith("not available") or "psycopg" in none  # where that is not installed
